"""A study's measurement: every configuration served at the same time, measured one at a time, in interleaved rounds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from inferlab.errors import MeasurementError
from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, BlockResult, ClosedLoad, OpenLoad
from inferlab.load.process import ignore_phase
from inferlab.measure.host import Host
from inferlab.measure.journal import Journal
from inferlab.measure.observer import Account, Observer, Sources
from inferlab.measure.order import shuffled
from inferlab.measure.rows import block_row, request_rows
from inferlab.measure.validity import Limits
from inferlab.records import BLOCK_COLUMNS, REQUEST_COLUMNS, PayloadMix, PlannedConfiguration
from inferlab.studies.base import OpenLoop, Scenario

LEAST_OPEN_REQUESTS = 6
"""A block of an open loop lasts at least until so many requests are due, however low the rate."""


@dataclass(frozen=True)
class Settings:
    """How a study is measured: params.yaml `profiles.<name>.measure`, and what else determines its blocks."""

    study: str
    machine_id: str
    environment_id: str
    profile: str
    seed: int
    rounds: int
    block_s: float
    warmup_s: float
    max_requests: int
    attempts: int
    timeout_s: float
    cores_granted: int
    limits: Limits
    mix: PayloadMix


def measure_study(
    planned: Sequence[PlannedConfiguration],
    scenarios: Mapping[str, Scenario],
    settings: Settings,
    serve_all: Callable[[Sequence[PlannedConfiguration], Callable[[int], None]], AbstractContextManager[list[Host]]],
    journal: Journal,
    advance: Callable[[int], None],
) -> None:
    """Run the rounds that the journal does not have yet; each is stored when it is whole.

    `serve_all` gives a host for each configuration, in their order, and ends them. `advance` is called with 1 for every
    host that is up and for every block that is done.
    """
    missing = sorted(set(range(settings.rounds)) - journal.finished_rounds())
    if not missing:
        return
    with serve_all(planned, advance) as up, Sources(host.pid for host in up) as sources:
        hosts = {row.configuration.id: (row, host) for row, host in zip(planned, up, strict=True)}
        slowest_per_s = _warm_up(hosts, scenarios, settings)
        if journal.note("slowest_per_s") is None:
            journal.note("slowest_per_s", slowest_per_s)
        runner = _Runner(settings, journal.note("slowest_per_s"), sources, advance)
        cells = [(name, scenario) for name in hosts for scenario in scenarios]
        for number in missing:
            done = [
                runner.block(*hosts[name], scenario, scenarios[scenario], number, order)
                for order, (name, scenario) in enumerate(shuffled(cells, settings.seed, settings.study, number))
            ]
            requests = pd.concat([frame for frames, _ in done for frame in frames], ignore_index=True)
            blocks = pd.DataFrame([row for _, rows in done for row in rows])
            journal.write_round(number, requests.astype(REQUEST_COLUMNS), blocks.astype(BLOCK_COLUMNS))


def _warm_up(
    hosts: Mapping[str, tuple[PlannedConfiguration, Host]], scenarios: Mapping[str, Scenario], settings: Settings
) -> float:
    """Give every server its first requests and batches of every size that a scenario brings, and fill its cache.

    Returns what the slowest serves to one caller, in requests per second. Raises MeasurementError where a server
    answers none.
    """
    most = max((scenario.callers for scenario in scenarios.values() if not isinstance(scenario, OpenLoop)), default=1)
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
    return slowest_per_s


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


class _Runner:
    """Runs blocks and makes their rows."""

    def __init__(
        self, settings: Settings, slowest_per_s: float, sources: Sources, advance: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._slowest_per_s = slowest_per_s
        self._sources = sources
        self._advance = advance

    def block(
        self, row: PlannedConfiguration, host: Host, name: str, scenario: Scenario, number: int, order: int
    ) -> tuple[list[pd.DataFrame], list[dict[str, Any]]]:
        """One block, tried again where it is invalid; every attempt is kept."""
        frames, rows = [], []
        for attempt in range(self._settings.attempts):
            key = self._key(row, name, number, attempt, order)
            result, account = self._observed(host, self._load(scenario, number))
            frames.append(request_rows(result, {name: key[name] for name in REQUEST_COLUMNS if name in key}))
            callers = None if isinstance(scenario, OpenLoop) else scenario.callers
            rows.append(block_row(result, account, callers, self._settings.cores_granted, self._settings.limits, key))
            if rows[-1]["outcome"] == "measured":
                break
        self._advance(1)
        return frames, rows

    def _observed(self, host: Host, block: Block) -> tuple[BlockResult, Account]:
        observer = Observer(host.pid, self._sources)
        result = host.run(block, observer.on_phase)
        return result, observer.account(result.client_cpu_s, self._settings.cores_granted)

    def _load(self, scenario: Scenario, number: int) -> Block:
        settings = self._settings
        load: ClosedLoad | OpenLoad
        block_s = settings.block_s
        if isinstance(scenario, OpenLoop):
            rate_per_s = scenario.share_of_slowest * self._slowest_per_s
            load = OpenLoad(ConstantArrivals(rate_per_s))
            block_s = max(block_s, LEAST_OPEN_REQUESTS / rate_per_s)
        else:
            load = ClosedLoad(scenario.callers)
        return _block(load, settings.warmup_s, block_s, settings, number)

    def _key(self, row: PlannedConfiguration, scenario: str, number: int, attempt: int, order: int) -> dict[str, Any]:
        settings = self._settings
        return {
            **row.configuration.model_dump(),
            "study": settings.study,
            "configuration": row.configuration.id,
            "scenario": scenario,
            "machine_id": settings.machine_id,
            "environment_id": settings.environment_id,
            "provenance": row.provenance,
            "profile": settings.profile,
            "round": number,
            "attempt": attempt,
            "order": order,
            "warmup_s": settings.warmup_s,
        }
