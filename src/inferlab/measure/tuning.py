"""The measurement of a study of tuning: first a search for each tuned configuration, then the rounds of all.

The trials decide and the rounds judge: the best of many noisy trials looks better than it is, and what it is shows only
in blocks that had no part in the choice.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from inferlab.columns import TRIAL_COLUMNS
from inferlab.errors import MeasurementError
from inferlab.measure.candidates import Space, propose
from inferlab.measure.host import Host
from inferlab.measure.journal import Journal
from inferlab.measure.observer import Sources
from inferlab.measure.settings import Settings
from inferlab.measure.study import Runner, measure_study, warm_up
from inferlab.records import CANDIDATE, Candidate, PlannedConfiguration
from inferlab.studies.base import RateSearch


class ServeAll(Protocol):
    """Gives a host for each configuration, in their order, those in the mapping served as its candidates."""

    def __call__(
        self, planned: Sequence[PlannedConfiguration], advance: Callable[[int], None], chosen: Mapping[str, Candidate]
    ) -> AbstractContextManager[list[Host]]:
        """As measure.host.serve_all."""
        ...


def measure_tuning(
    planned: Sequence[PlannedConfiguration],
    scenario: tuple[str, RateSearch],
    trials: int,
    spaces: Mapping[str, Space],
    settings: Settings,
    serve_all: ServeAll,
    check_load: Callable[[], object],
    journal: Journal,
    advance: Callable[[int], None],
) -> None:
    """Try what the journal does not have yet, choose, and run the rounds that it does not have yet.

    `spaces` has that of each tuned configuration, by id. `check_load` raises MeasurementError where the load client is
    gone, which is no fault of a candidate. `advance` is called with 1 for every trial, and as measure_study does.
    """
    rows = {row.configuration.id: row for row in planned}
    chosen = {}
    for name, space in spaces.items():
        search = _Search(rows[name], scenario, space, settings, serve_all, check_load)
        chosen[name] = search.best(trials, journal, advance)
    measure_study(planned, dict([scenario]), settings, partial(serve_all, chosen=chosen), journal, advance)


def trials_left(spaces: Mapping[str, Space], trials: int, journal: Journal) -> int:
    """How many trials are to come."""
    return sum(min(trials, len(space.candidates())) for space in spaces.values()) - len(journal.trials())


@dataclass(frozen=True)
class _Search:
    """The search for one tuned configuration: what is tried, and how a candidate is served and loaded."""

    row: PlannedConfiguration
    scenario: tuple[str, RateSearch]
    space: Space
    settings: Settings
    serve_all: ServeAll
    check_load: Callable[[], object]

    def best(self, trials: int, journal: Journal, advance: Callable[[int], None]) -> Candidate:
        """The candidate with the highest rate; of equal ones the first, so the default where none kept the limit."""
        name = self.row.configuration.id

        def own() -> list[dict[str, Any]]:
            return [trial for trial in journal.trials() if trial["configuration"] == name]

        while len(tried := own()) < trials:
            found = {_candidate(trial): trial["rate_per_s"] for trial in tried}
            candidate = propose(self.space, found, self.settings.seed) or _disturbed(tried)
            if candidate is None:
                break
            journal.write_trials([*journal.trials(), self._trial(candidate, len(tried))])
            advance(1)
        rates = [-1.0 if trial["rate_per_s"] is None else trial["rate_per_s"] for trial in tried]
        best = tried[rates.index(max(rates))]
        rows = journal.trials()
        for trial in rows:
            if trial["configuration"] == name:
                trial["chosen"] = trial["trial"] == best["trial"]
        journal.write_trials(rows)
        return _candidate(best)

    def _trial(self, candidate: Candidate, number: int) -> dict[str, Any]:
        """A row of TRIAL_COLUMNS; what could not be measured is None, with the reason."""
        begun_unix_s, begun_s = time.time(), time.monotonic()
        name = self.row.configuration.id
        try:
            with self.serve_all([self.row], _no_step, {name: candidate}) as hosts, Sources([hosts[0].pid]) as sources:
                found = self._searched(hosts[0], sources)
        except MeasurementError as error:
            self.check_load()
            found = {"outcome": "unsupported", "reason": str(error)}
        key = self.settings.key(self.row, self.scenario[0], number, 0, number, self.settings.warmup_s)
        values: dict[str, Any] = {
            **key,
            **candidate.model_dump(),
            "trial": number,
            "candidates": len(self.space.candidates()),
            "cores_granted": self.settings.cores_granted,
            "started_unix_s": begun_unix_s,
            "duration_s": time.monotonic() - begun_s,
            "reason": "",
            "chosen": False,
            **found,
        }
        return {name: values.get(name) for name in TRIAL_COLUMNS}

    def _searched(self, host: Host, sources: Sources) -> dict[str, Any]:
        """What the search found for one server; the requests are those of no round, and alike for all trials."""
        name, search = self.scenario
        rates = warm_up({self.row.configuration.id: (self.row, host)}, {name: search}, self.settings)
        runner = Runner(self.settings, rates, sources, _no_step)
        _, blocks = runner.block(self.row, host, name, search, number=self.settings.most_rounds, order=0)
        measured = [block for block in blocks if block["outcome"] == "measured"]
        found: dict[str, Any] = {"capacity_per_s": rates.capacity_per_s[self.row.configuration.id]}
        if len(measured) < search.steps:
            return {**found, "outcome": "invalid", "reason": blocks[-1]["reason"]}
        kept = [block for block in measured if search.is_kept(block["latency_p99_s"])]
        if not kept:
            least_per_s = min(block["offered_rate_per_s"] for block in measured)
            reason = f"p99 was above {search.p99_limit_s * 1e3:g} ms at every rate from {least_per_s:.3g}/s on"
            return {**found, "rate_per_s": 0.0, "outcome": "rejected", "reason": reason}
        best = max(kept, key=lambda block: float(block["offered_rate_per_s"]))
        numbers = {"rate_per_s": best["offered_rate_per_s"], "latency_p99_s": best["latency_p99_s"]}
        return {**found, **numbers, "outcome": "measured"}


def _disturbed(tried: Sequence[Mapping[str, Any]]) -> Candidate | None:
    """The candidate that was tried longest ago of those whose last trial was invalid: it may have a value yet."""
    last: dict[Candidate, str] = {}
    for trial in tried:
        candidate = _candidate(trial)
        last.pop(candidate, None)
        last[candidate] = trial["outcome"]
    return next((candidate for candidate, outcome in last.items() if outcome == "invalid"), None)


def _candidate(trial: Mapping[str, Any]) -> Candidate:
    return Candidate(**{name: trial[name] for name in CANDIDATE})


def _no_step(steps: int) -> None:
    """A trial is one step, whatever it consists of."""
