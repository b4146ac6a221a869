"""A study's measurement: every configuration served at the same time, measured one at a time, in interleaved rounds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from statistics import median
from typing import Any

import pandas as pd

from inferlab.columns import REQUEST_COLUMNS
from inferlab.errors import MeasurementError
from inferlab.load.arrivals import SteadyArrivals
from inferlab.load.block import Block, BlockResult, ClosedLoad, OpenLoad
from inferlab.load.process import ignore_phase
from inferlab.measure.host import Host
from inferlab.measure.journal import Journal
from inferlab.measure.observer import Account, Observer, Sources
from inferlab.measure.offers import Offer, Rates, needs_capacity, offers
from inferlab.measure.rounds import Measured, measure_rounds, next_round
from inferlab.measure.rows import block_row, request_rows
from inferlab.measure.settings import Settings
from inferlab.records import PlannedConfiguration
from inferlab.studies.base import ClosedLoop, Scenario

CAPACITY_BLOCKS = 3
"""In turn with those of the other configurations; the capacity is their median, so that one disturbance does not move
every rate of a study."""


def measure_study(
    planned: Sequence[PlannedConfiguration],
    scenarios: Mapping[str, Scenario],
    settings: Settings,
    serve_all: Callable[[Sequence[PlannedConfiguration], Callable[[int], None]], AbstractContextManager[list[Host]]],
    journal: Journal,
    advance: Callable[[int], None],
) -> None:
    """Run the rounds that the journal does not have yet.

    `serve_all` gives a host for each configuration, in their order, and ends them. `advance` is called with 1 for every
    host that is up and for every block that is done.
    """
    if next_round(settings, journal) is None:
        return
    with serve_all(planned, advance) as up, Sources((), {core for host in up for core in host.cores}) as sources:
        hosts = {row.configuration.id: (row, host) for row, host in zip(planned, up, strict=True)}
        rates = warm_up(hosts, scenarios, settings)
        if journal.note("rates") is None:
            journal.note("rates", asdict(rates))
        runner = Runner(settings, Rates(**journal.note("rates")), sources, advance)

        def measure(cell: tuple[str, str], number: int, order: int) -> Measured:
            name, scenario = cell
            return runner.block(*hosts[name], scenario, scenarios[scenario], number, order)

        measure_rounds([(name, scenario) for name in hosts for scenario in scenarios], settings, journal, measure)


def warm_up(
    hosts: Mapping[str, tuple[PlannedConfiguration, Host]], scenarios: Mapping[str, Scenario], settings: Settings
) -> Rates:
    """Give every server its first requests and batches of every size that a scenario brings, and fill its cache.

    Returns what they bear. Raises MeasurementError where a server answers no request.
    """
    most = max((scenario.callers for scenario in scenarios.values() if isinstance(scenario, ClosedLoop)), default=1)
    crowd = _block(ClosedLoad(most), 0, settings.warmup_s, settings)
    alone = _block(ClosedLoad(1), 0, settings.block_s, settings)
    slowest_per_s = float("inf")
    for name, (row, host) in hosts.items():
        host.run(crowd, ignore_phase)
        if row.configuration.cache_share:
            host.run(_every_payload(most, settings), ignore_phase)
        result = host.run(alone, ignore_phase)
        if not result.throughput_per_s > 0:
            raise MeasurementError(f"{name} answers no request: {result.first_error}")
        slowest_per_s = min(slowest_per_s, result.throughput_per_s)
    if not needs_capacity(scenarios):
        return Rates(slowest_per_s, {})
    found: dict[str, list[float]] = {name: [] for name, (row, _) in hosts.items() if not row.configuration.twin}
    for _ in range(CAPACITY_BLOCKS):
        for name, throughputs in found.items():
            host = hosts[name][1]
            callers = ClosedLoad(settings.capacity_callers * host.replicas)
            busy = _block(callers, settings.warmup_s, settings.block_s, settings)
            throughputs.append(host.run(busy, ignore_phase).throughput_per_s)
    return Rates(slowest_per_s, {name: median(throughputs) for name, throughputs in found.items()})


def _every_payload(callers: int, settings: Settings) -> Block:
    """All payloads in turn, each at least once, however long they take."""
    distinct = settings.mix.distinct
    return Block(ClosedLoad(callers), 0, settings.timeout_s * distinct, settings.timeout_s, distinct, settings.seed)


def _block(load: ClosedLoad | OpenLoad, warmup_s: float, block_s: float, settings: Settings, number: int = 0) -> Block:
    """A block of one round; the configurations of a round get the same requests in the same order."""
    return Block(
        load,
        warmup_s,
        block_s,
        settings.timeout_s,
        settings.max_requests,
        settings.seed + number,
        settings.mix.zipf_exponent,
    )


class Runner:
    """Runs blocks and makes their rows."""

    def __init__(self, settings: Settings, rates: Rates, sources: Sources, advance: Callable[[int], None]) -> None:
        self._settings = settings
        self._rates = rates
        self._sources = sources
        self._advance = advance

    def block(
        self, row: PlannedConfiguration, host: Host, name: str, scenario: Scenario, number: int, order: int
    ) -> Measured:
        """The scenario's blocks, each tried again where it is invalid; every attempt is kept."""
        frames: list[pd.DataFrame] = []
        rows: list[dict[str, Any]] = []
        offered = offers(scenario, row.configuration, self._rates)
        offer: Offer | None = next(offered)
        while offer is not None:
            for _ in range(self._settings.attempts):
                frame, found = self._attempt(
                    host, offer, self._settings.key(row, name, number, len(rows), order, self._settings.warmup_s)
                )
                frames.append(frame)
                rows.append(found)
                if found["outcome"] == "measured":
                    break
            try:
                offer = offered.send(rows[-1]["latency_p99_s"] if rows[-1]["outcome"] == "measured" else None)
            except StopIteration:
                offer = None
        self._advance(1)
        return frames, rows

    def _attempt(self, host: Host, offer: Offer, key: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Rows of the requests and of the block. Its offered rate is the arrivals' own, and not what they came to."""
        settings, load = self._settings, offer.load
        block_s = max(settings.block_s, offer.least_s)
        result, account = self._observed(host, offer, _block(load, settings.warmup_s, block_s, settings, key["round"]))
        frame = request_rows(result, {name: key[name] for name in REQUEST_COLUMNS if name in key})
        callers = load.callers if isinstance(load, ClosedLoad) else None
        cores, may_saturate = settings.cores_granted, offer.may_saturate
        row = block_row(result, account, callers, cores, settings.limits, key, may_saturate=may_saturate)
        if host.accelerator_cores is not None:
            row["accelerator_cores_granted"] = float(host.accelerator_cores)
        if isinstance(load, OpenLoad) and isinstance(load.arrivals, SteadyArrivals):
            row["offered_rate_per_s"] = load.arrivals.rate_per_s
        return frame, row

    def _observed(self, host: Host, offer: Offer, block: Block) -> tuple[BlockResult, Account]:
        host.wake()
        observer = Observer(host.pid, self._sources)
        result = host.run(block, observer.on_phase, offer.items)
        return result, observer.account(result.client_cpu_s, self._settings.cores_granted)
