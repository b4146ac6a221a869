"""The rows of every table: each planned configuration under each scenario of its study, measured or not."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inferlab.analyze.results import BREAKDOWN, SET_KEYS, STAGE_COLUMNS, ResultSet, pooled_requests, usable_blocks
from inferlab.records import PlannedConfiguration, PlanRecord
from inferlab.studies.base import ProcessStart, Scenario, scenarios_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

KEYS = (
    "machine_id",
    "environment_id",
    "profile",
    "provenance",
    "study",
    "model",
    "target",
    "optimization",
    "precision",
    "not_engaged",
    "path",
    "batching",
    "cache_share",
    "batch_limit",
    "handler",
    "tuned",
    "twin",
    "configuration",
    "scenario",
    "loop",
    "outcome",
    "reason",
    "hint",
    "rounds",
    "rounds_left_out",
)
"""Columns that every table begins with."""

FAMILY = (*SET_KEYS, "study")
"""What is compared and judged together: one study on one machine. Nothing is paired across families."""

SCALABILITY = "scalability"
"""The kind of the studies whose scenarios are the load."""
TUNING = "tuning"
"""The kind of the studies that search for settings."""

MINIMUM_ROUNDS = 2
"""One round has no interval, and a table value without an interval is not shown."""


@dataclass(frozen=True)
class Row:
    """One configuration under one scenario.

    `blocks` are its usable blocks, one a round, empty where not measured; `attempts` are all its blocks. `scenario` is
    what its plan says, None where that is of before plans did.
    """

    results: ResultSet
    keys: dict[str, Any]
    blocks: "pd.DataFrame"
    attempts: "pd.DataFrame"
    scenario: Scenario | None = None

    @cached_property
    def latencies(self) -> "np.ndarray":
        """Latencies in seconds, [requests], of all measured requests."""
        return self.requests["latency_s"].to_numpy(dtype=float)

    @cached_property
    def requests(self) -> "pd.DataFrame":
        """Columns round, latency_s and cached of all measured requests."""
        key = (self.keys["study"], self.keys["configuration"], self.keys["scenario"])
        return pooled_requests(self.results.requests.get(key), self.blocks)

    @cached_property
    def stages(self) -> "pd.DataFrame":
        """As `requests`, with the columns STAGE_COLUMNS; of studies of the kind BREAKDOWN alone."""
        key = (self.keys["study"], self.keys["configuration"], self.keys["scenario"])
        return pooled_requests(self.results.stages.get(key), self.blocks, STAGE_COLUMNS)

    @cached_property
    def latencies_by_round(self) -> "list[np.ndarray]":
        """As `latencies`, [requests] of each round."""
        return [part["latency_s"].to_numpy(dtype=float) for _, part in self.requests.groupby("round")]

    @property
    def kind(self) -> str:
        """Of the row's study; empty where its plan is of before plans said so."""
        return self.results.plans[(self.keys["study"], self.keys["model"])].kind

    @property
    def stands_apart(self) -> bool:
        """Whether the row's study asks what caches, load, a handler, starts or settings do: not as other pages do."""
        apart = self.kind in (SCALABILITY, BREAKDOWN, TUNING)
        return self.compares_caches or apart or isinstance(self.scenario, ProcessStart)

    @property
    def compares_caches(self) -> bool:
        """Whether the row's study does, so that its requests come again: its speeds answer no other question."""
        plan = self.results.plans[(self.keys["study"], self.keys["model"])]
        return any(planned.configuration.cache_share for planned in plan.configurations)

    @property
    def measured(self) -> bool:
        """Whether the row has numbers."""
        return bool(self.keys["outcome"] == "measured")

    def by_round(self, column: str) -> "pd.Series[float]":
        """A block column, indexed by round."""
        import pandas as pd

        return pd.Series(self.values(column), index=self.blocks["round"].to_numpy())

    def values(self, column: str) -> "np.ndarray":
        """A block column, [rounds]."""
        found: np.ndarray = self.blocks[column].to_numpy(dtype="float64")
        return found


def rows_of(results: ResultSet, scenarios: Mapping[str, Sequence[str]], open_loop: Collection[str] = ()) -> list[Row]:
    """All rows of a set in the order of its plans.

    A plan says which scenarios its study has. For plans of before they did so, `scenarios` names those of a study
    (params.yaml), and `open_loop` those whose rate is offered, so that their throughput says nothing about speed.
    """
    rows: list[Row] = []
    for plan in results.plans.values():
        blocks = results.blocks
        blocks = blocks[(blocks["study"] == plan.study) & (blocks["model"] == plan.model)]
        usable = usable_blocks(blocks)
        planned_scenarios = scenarios_of(plan)
        named = list(planned_scenarios or scenarios.get(plan.study, ()))
        measured = [str(name) for name in blocks["scenario"].unique()]
        names = sorted(measured, key=lambda name: (named.index(name) if name in named else len(named), name)) or named
        tried, kept = (dict(list(frame.groupby(["configuration", "scenario"]))) for frame in (blocks, usable))
        empty = blocks.iloc[:0]
        for planned in plan.configurations:
            for scenario in names:
                key = (planned.configuration.id, scenario)
                found = planned_scenarios.get(scenario)
                loop = found.loop if found else ("open" if scenario in open_loop else "closed")
                load = {"scenario": scenario, "loop": loop}
                rows.append(_row(results, plan, planned, load, found, tried.get(key, empty), kept.get(key, empty)))
    return rows


def grouped(rows: Iterable[Row], names: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """Rows whose keys agree in `names`, by what they have there, in the order of the first row of each."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row.keys[name]) for name in names), []).append(row)
    return groups


def table(rows: Iterable[Row], columns: Mapping[str, str], frame_rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """Rows with the key columns and `columns` (name: dtype); what a row does not have is blank."""
    import pandas as pd

    records = [{**row.keys, **values} for row, values in zip(rows, frame_rows, strict=True)]
    frame = pd.DataFrame.from_records(records, columns=[*KEYS, *columns])
    return frame.astype({name: dtype for name, dtype in columns.items() if dtype == "float64"})


def _row(
    results: ResultSet,
    plan: PlanRecord,
    planned: PlannedConfiguration,
    load: dict[str, str],
    scenario: Scenario | None,
    blocks: "pd.DataFrame",
    usable: "pd.DataFrame",
) -> Row:
    configuration = planned.configuration
    all_rounds = int(blocks["round"].nunique())
    outcome, reason, hint = _outcome(planned, blocks, len(usable), all_rounds)
    artifact = results.artifacts.get((plan.model, configuration.optimization, configuration.target))
    optimization = results.optimizations.get((plan.model, configuration.optimization))
    precision = artifact.precision if artifact else (optimization.precision if optimization else "")
    keys = {
        "machine_id": results.machine.machine_id,
        "environment_id": results.machine.environment_id,
        "profile": results.profile,
        "provenance": results.provenance if outcome == "measured" else planned.provenance,
        "study": plan.study,
        "model": plan.model,
        "target": configuration.target,
        "optimization": configuration.optimization,
        "precision": precision,
        "not_engaged": results.not_engaged(plan.model, configuration.optimization, configuration.target),
        "path": configuration.path,
        "batching": configuration.batching,
        "cache_share": configuration.cache_share,
        "batch_limit": configuration.batch_limit,
        "handler": configuration.handler,
        "tuned": configuration.tuned,
        "twin": configuration.twin,
        "configuration": configuration.id,
        **load,
        "outcome": outcome,
        "reason": reason,
        "hint": hint,
        "rounds": len(usable),
        "rounds_left_out": all_rounds - len(usable),
    }
    return Row(results, keys, usable if outcome == "measured" else usable.iloc[:0], blocks, scenario)


def _outcome(
    planned: PlannedConfiguration, blocks: "pd.DataFrame", usable: int, all_rounds: int
) -> tuple[str, str, str]:
    """Outcome, reason and hint of a row. A row whose rounds are mostly invalid is invalid."""
    if planned.outcome is not None and planned.outcome != "measured":
        return planned.outcome, planned.reason, planned.hint
    if all_rounds == 0:
        return "invalid", "no block of it was recorded under this scenario", "run dvc repro again"
    if usable >= MINIMUM_ROUNDS and 2 * usable >= all_rounds:
        return "measured", "", ""
    bad = blocks[(blocks["outcome"] != "measured") | (blocks["requests_ok"] == 0)]
    if len(bad) == 0:
        return "invalid", f"{usable} round; an interval needs {MINIMUM_ROUNDS}", "measure more rounds"
    most_common = bad["reason"].where(bad["reason"] != "", "no request was answered").mode()
    advice = bad["advice"].mode()
    reason = f"{usable} of {all_rounds} rounds can be used: {most_common.iloc[0]}"
    return "invalid", reason, str(advice.iloc[0])
