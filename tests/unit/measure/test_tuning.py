from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fakes import ScriptedHost, planned, settings

from inferlab.columns import TRIAL_COLUMNS
from inferlab.errors import MeasurementError
from inferlab.load.block import Block, ClosedLoad
from inferlab.measure.candidates import Space
from inferlab.measure.journal import BLOCKS, REQUESTS, TRIALS, Journal
from inferlab.measure.telemetry.cpu import MachineCpu
from inferlab.measure.tuning import measure_tuning, trials_left
from inferlab.records import Candidate, PlannedConfiguration, SearchSpace
from inferlab.studies.base import RateSearch

SEARCH = ("search", RateSearch(kind="search", p99_limit_s=0.05, steps=4))
ASKED = SearchSpace(trials=6, batch_limits=(1, 2, 4, 8), threads=(1, 2), replicas=(1, 2))
ROWS = [planned("fastapi"), planned("fastapi", twin=True), planned("fastapi", tuned=True)]
DEFAULT, TWIN, TUNED = (row.configuration.id for row in ROWS)
ONE_CORE = Space.here(ASKED, 1, 8)
TWO_CORES = Space.here(ASKED, 2, 8)
ROUNDS = 2


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.measure.observer.machine_cpu", lambda: MachineCpu(busy_s=1, steal_s=0, cores=2))


class Queue(ScriptedHost):
    """Serves `capacity_per_s`; in an open loop a request takes 10 ms, from 80 % of that on a second."""

    def __init__(self, capacity_per_s: float, replicas: int = 1, lags_s: list[float] | None = None) -> None:
        super().__init__(0.01, lags_s)
        self.capacity_per_s = capacity_per_s
        self.replicas = replicas

    def run(self, block: Block, on_phase: Callable[[Any], None], items: int = 1) -> Any:
        if isinstance(block.load, ClosedLoad):
            self.latency_s = block.load.callers / self.capacity_per_s
        else:
            self.latency_s = 0.01 if block.load.arrivals.rate_per_s <= 0.8 * self.capacity_per_s else 1.0
        return super().run(block, on_phase, items)


class Servers:
    """Serves `capacity_per_s` of the candidate; the default's for what has none."""

    def __init__(self, capacity_per_s: Callable[[Candidate], float], ends_after: int = 1000) -> None:
        self.trials: list[Candidate] = []
        self.trial_seeds: set[int] = set()
        self.rounds: list[dict[str, Candidate]] = []
        self.round_hosts: list[ScriptedHost] = []
        self.lags_s: dict[Candidate, list[float]] = {}
        self._capacity_per_s = capacity_per_s
        self._ends_after = ends_after

    @contextmanager
    def __call__(
        self, rows: Sequence[PlannedConfiguration], advance: Callable[[int], None], chosen: Mapping[str, Candidate]
    ) -> Iterator[list[ScriptedHost]]:
        is_trial = len(rows) == 1
        if is_trial and len(self.trials) == self._ends_after:
            raise KeyboardInterrupt
        hosts = []
        for row in rows:
            candidate = chosen.get(row.configuration.id, ONE_CORE.default)
            hosts.append(Queue(self._capacity_per_s(candidate), candidate.replicas, self.lags_s.get(candidate)))
            hosts[-1].open = True
            advance(1)
        if is_trial:
            self.trials.append(chosen[TUNED])
        else:
            self.rounds.append(dict(chosen))
            self.round_hosts = list(hosts)
        yield hosts
        if is_trial:
            self.trial_seeds |= {block.seed for block in hosts[0].blocks if not isinstance(block.load, ClosedLoad)}


def by_limit(candidate: Candidate) -> float:
    """Best with a batch limit of 4 on one core."""
    return {1: 100.0, 2: 200.0, 4: 400.0, 8: 300.0}[candidate.batch_limit]


def run(root: Path, servers: Servers, space: Space = ONE_CORE, load_runs: bool = True, trials: int = 6) -> int:
    def check_load() -> None:
        if not load_runs:
            raise MeasurementError("the load client is not running")

    steps: list[int] = []
    given = settings(rounds=ROUNDS, study="tuning")
    journal = Journal(root, "tuning-m", "digest")
    measure_tuning(ROWS, SEARCH, trials, {TUNED: space}, given, servers, check_load, journal, steps.append)  # type: ignore[arg-type]
    return sum(steps)


def delivered(root: Path, name: str) -> pd.DataFrame:
    Journal(root, "tuning-m", "digest").deliver(root / "out")
    return pd.read_parquet(root / "out" / name)


def test_the_best_candidate_is_found_and_served_in_the_rounds(tmp_path: Path) -> None:
    servers = Servers(by_limit)
    left = trials_left({TUNED: ONE_CORE}, 6, Journal(tmp_path, "tuning-m", "digest"))
    assert run(tmp_path, servers) == left + len(ROWS) * (1 + ROUNDS) == 4 + 9
    assert servers.trials[0] == ONE_CORE.default
    assert set(servers.trials) == set(ONE_CORE.candidates())
    assert servers.rounds == [{TUNED: Candidate(batch_limit=4, threads=1, replicas=1)}]
    trials = delivered(tmp_path, TRIALS)
    assert (
        trials.dtypes.astype(str).to_dict()
        == pd.DataFrame(columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS).dtypes.astype(str).to_dict()
    )
    assert trials["trial"].tolist() == [0, 1, 2, 3]
    assert set(trials["configuration"]) == {TUNED}
    assert trials.loc[trials["chosen"], "batch_limit"].tolist() == [4]
    by = trials.set_index("batch_limit")
    assert by["capacity_per_s"].to_dict() == pytest.approx({1: 100, 2: 200, 4: 400, 8: 300})
    # Of sixteenths of 125 % of the capacity, ten are the most that 80 % of it holds.
    assert by["rate_per_s"].to_dict() == pytest.approx({1: 78.125, 2: 156.25, 4: 312.5, 8: 234.375})
    assert (trials["latency_p99_s"] - 0.01).abs().max() < 1e-6
    assert set(trials["outcome"]) == {"measured"}
    assert set(trials["candidates"]) == {4}


def test_trials_are_not_among_the_rounds_and_have_other_requests(tmp_path: Path) -> None:
    servers = Servers(by_limit)
    run(tmp_path, servers)
    blocks, requests = delivered(tmp_path, BLOCKS), delivered(tmp_path, REQUESTS)
    assert set(blocks["round"]) == set(requests["round"]) == {0, 1}
    assert (blocks.groupby(["round", "configuration"]).size() == SEARCH[1].steps).all()
    of_rounds = {block.seed for host in servers.round_hosts for block in host.blocks[5:]}
    assert len(servers.trial_seeds) == 1
    assert not servers.trial_seeds & of_rounds
    tuned = blocks[(blocks["configuration"] == TUNED) & (blocks["latency_p99_s"] <= 0.05)]
    default = blocks[(blocks["configuration"] == DEFAULT) & (blocks["latency_p99_s"] <= 0.05)]
    assert (tuned["offered_rate_per_s"].max(), default["offered_rate_per_s"].max()) == pytest.approx((312.5, 234.375))


def test_a_search_that_was_killed_goes_on_as_it_would_have_and_tries_nothing_twice(tmp_path: Path) -> None:
    whole = Servers(by_threads)
    run(tmp_path / "whole", whole, TWO_CORES)
    first = Servers(by_threads, ends_after=3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", first, TWO_CORES)
    then = Servers(by_threads)
    assert run(tmp_path / "killed", then, TWO_CORES) == 3 + len(ROWS) * (1 + ROUNDS)
    assert first.trials + then.trials == whole.trials
    assert len(set(whole.trials)) == len(whole.trials) == ASKED.trials
    assert then.rounds == whole.rounds
    again = Servers(by_threads)
    assert run(tmp_path / "killed", again, TWO_CORES) == 0
    assert (again.trials, again.rounds) == ([], [])


def by_threads(candidate: Candidate) -> float:
    """Two replicas of one thread are best."""
    return by_limit(candidate) * (1.9 if candidate.replicas == 2 else 1.5 if candidate.threads == 2 else 1.0)


def test_replicas_are_kept_busy_by_as_many_more_callers(tmp_path: Path) -> None:
    callers = set()

    class Seen(Servers):
        @contextmanager
        def __call__(self, *given: Any, **chosen: Any) -> Iterator[Any]:
            with super().__call__(*given, **chosen) as hosts:
                yield hosts
                closed = [block.load.callers for block in hosts[0].blocks if isinstance(block.load, ClosedLoad)]
                callers.add((hosts[0].replicas, max(closed)))

    run(tmp_path, Seen(by_threads), TWO_CORES, trials=12)
    assert callers == {(1, 16), (2, 32)}


def test_a_candidate_that_cannot_be_served_is_told_with_its_reason_and_not_chosen(tmp_path: Path) -> None:
    def fails(candidate: Candidate) -> float:
        if candidate.batch_limit == 4:
            raise MeasurementError("the server was ended by SIGKILL")
        return by_limit(candidate)

    servers = Servers(fails)
    run(tmp_path, servers)
    trials = delivered(tmp_path, TRIALS).set_index("batch_limit")
    assert trials.loc[4, ["outcome", "reason"]].tolist() == ["unsupported", "the server was ended by SIGKILL"]
    assert pd.isna(trials.loc[4, "rate_per_s"])
    assert trials["chosen"].to_dict() == {1: False, 2: False, 4: False, 8: True}


def test_without_a_load_client_the_search_ends_and_no_candidate_is_blamed(tmp_path: Path) -> None:
    def fails(candidate: Candidate) -> float:
        raise MeasurementError("the load client was silent")

    with pytest.raises(MeasurementError, match="the load client is not running"):
        run(tmp_path, Servers(fails), load_runs=False)
    assert Journal(tmp_path, "tuning-m", "digest").trials() == []


def test_where_no_rate_keeps_the_limit_the_default_stands(tmp_path: Path) -> None:
    slow = ("search", RateSearch(kind="search", p99_limit_s=0.005, steps=2))
    given = settings(rounds=ROUNDS)
    journal = Journal(tmp_path, "tuning-m", "digest")
    servers = Servers(by_limit)
    measure_tuning(ROWS, slow, 6, {TUNED: ONE_CORE}, given, servers, lambda: None, journal, lambda steps: None)  # type: ignore[arg-type]
    trials = delivered(tmp_path, TRIALS)
    assert set(trials["outcome"]) == {"rejected"}
    assert set(trials["rate_per_s"]) == {0.0}
    # The last of two blocks is at a quarter of 125 % of the capacity, 300 per second.
    assert trials.loc[0, "reason"] == "p99 was above 5 ms at every rate from 93.8/s on"
    assert servers.rounds == [{TUNED: ONE_CORE.default}]


def test_a_trial_whose_search_does_not_end_is_invalid_and_says_why(tmp_path: Path) -> None:
    servers = Servers(by_limit)
    best = Candidate(batch_limit=4, threads=1, replicas=1)
    servers.lags_s[best] = [0.0] * 5 + [0.0, 0.05, 0.05]
    run(tmp_path, servers, trials=4)
    trials = delivered(tmp_path, TRIALS).set_index("batch_limit")
    assert trials.loc[4, "outcome"] == "invalid"
    assert "client was late" in trials.loc[4, "reason"]
    assert pd.isna(trials.loc[4, "rate_per_s"])
    assert trials["chosen"].to_dict() == {1: False, 2: False, 4: False, 8: True}


def test_what_was_disturbed_is_tried_again_where_trials_are_left_after_all_others(tmp_path: Path) -> None:
    servers = Servers(by_limit)
    best = Candidate(batch_limit=4, threads=1, replicas=1)
    servers.lags_s[best] = [0.0] * 5 + [0.0, 0.05, 0.05]  # once: the list is used up
    run(tmp_path, servers, trials=6)
    assert servers.trials[-1] == best
    assert len(servers.trials) == 5
    trials = delivered(tmp_path, TRIALS)
    own = trials[trials["batch_limit"] == 4]
    assert own["outcome"].tolist() == ["invalid", "measured"]
    assert own["chosen"].tolist() == [False, True]
    assert trials["chosen"].sum() == 1
    assert servers.rounds == [{TUNED: best}]
