"""What MLflow is told: every step, artifact, quality and measurement of a set as parameters, metrics and tags."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferlab.analyze.breakdown import breakdown_table
from inferlab.analyze.caching import caching_table
from inferlab.analyze.cold_start import cold_start_table
from inferlab.analyze.latency import latency_table
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import rows_of
from inferlab.analyze.throughput import throughput_table
from inferlab.analyze.tuning import tuning_table
from inferlab.analyze.utilization import utilization_table
from inferlab.files import digest_of
from inferlab.records import ArtifactRecord, OptimizationRecord, QualityRecord

IDENTITY = (
    "study",
    "model",
    "optimization",
    "precision",
    "target",
    "path",
    "batching",
    "cache_share",
    "batch_limit",
    "handler",
    "tuned",
    "twin",
    "scenario",
    "loop",
)
NOT_METRICS = {*IDENTITY, "machine_id", "environment_id", "profile", "provenance", "configuration"}
NOT_METRICS |= {"outcome", "reason", "hint"}


@dataclass(frozen=True)
class RunContent:
    """One run, as it will be logged. `record` becomes its artifact `record.json`."""

    name: str
    kind: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Equal content has an equal digest."""
        return digest_of([self.name, self.kind, self.params, self.metrics, self.tags, self.record])


def runs_of(
    results: ResultSet, scenarios: Mapping[str, Sequence[str]], open_loop: Collection[str], confidence: float
) -> Iterator[RunContent]:
    """Every run of a set, also those whose outcome is not a measurement."""
    for optimization in results.optimizations.values():
        yield from _optimize_runs(optimization)
    for artifact in results.artifacts.values():
        yield _compile_run(artifact)
    for quality in results.quality.values():
        yield _quality_run(quality)
    rows = rows_of(results, scenarios, open_loop)
    tables = [make(rows, confidence) for make in (latency_table, throughput_table, utilization_table)]
    of_one_study = {
        (line["study"], line["configuration"], line["scenario"]): {str(name): value for name, value in line.items()}
        for make in (caching_table, breakdown_table, cold_start_table, tuning_table)
        for line in make(rows, confidence).to_dict("records")
    }
    absent: set[str] = set()
    for lines in zip(*(frame.to_dict("records") for frame in tables), strict=True):
        line = {str(name): value for part in lines for name, value in part.items()}
        line |= of_one_study.get((line["study"], line["configuration"], line["scenario"]), {})
        name = f"{line['study']} {line['configuration']}"
        if line["outcome"] not in ("measured", "invalid"):
            if name in absent:
                continue  # why a configuration cannot be measured is one fact, whatever the scenario
            absent.add(name)
            line |= {"scenario": "", "loop": ""}
        yield _measurement_run(line)


def _optimize_runs(record: OptimizationRecord) -> Iterator[RunContent]:
    cell = {"model": record.model, "optimization": record.optimization, "precision": record.precision}
    name = f"optimize {record.model}/{record.optimization}"
    numbers = {"macs": record.macs, "macs_original": record.macs_original, "parameters": record.parameters}
    yield RunContent(
        name=name,
        kind="optimize",
        params=cell,
        metrics=_finite({**numbers, "sparsity": record.sparsity, "time_s": record.time_s}),
        tags={"outcome": record.outcome, "reason": record.reason},
        record=record.model_dump(mode="json"),
    )
    for number, step in enumerate(record.steps, start=1):
        yield RunContent(
            name=f"{name} step {number} {step.kind}",
            kind="optimize-step",
            params={**cell, "step": step.kind, **{key: _text(value) for key, value in step.options.items()}},
            metrics=_finite({"time_s": step.time_s, **step.metrics}),
            tags={"outcome": record.outcome, "reason": record.reason},
            record=step.model_dump(mode="json"),
        )


def _compile_run(record: ArtifactRecord) -> RunContent:
    engagement = record.engagement.model_dump(exclude={"note"}) if record.engagement else {}
    numbers = {f"engagement_{name}": value for name, value in engagement.items()}
    params = {"model": record.model, "optimization": record.optimization, "target": record.target}
    sizes = ",".join(str(size) for size in record.batch_sizes)
    return RunContent(
        name=f"compile {record.model}/{record.optimization}/{record.target}",
        kind="compile",
        params={**params, "precision": record.precision, "batch_sizes": sizes},
        metrics=_finite({"build_time_s": record.build_time_s, "size_bytes": record.size_bytes, **numbers}),
        tags=_outcome_tags(record.outcome, record.reason, record.hint, record.provenance),
        record=record.model_dump(mode="json"),
    )


def _quality_run(record: QualityRecord) -> RunContent:
    name = f"{record.model}/{record.optimization}/{record.target}"
    metric = record.metric or "quality"
    numbers = {metric: record.value, f"{metric}_low": record.low, f"{metric}_high": record.high}
    return RunContent(
        name=f"evaluate {name}",
        kind="quality",
        params={"model": record.model, "optimization": record.optimization, "target": record.target},
        metrics=_finite({**numbers, "samples": record.samples, "time_s": record.time_s}),
        tags=_outcome_tags(record.outcome, record.reason, "", record.provenance),
        record=record.model_dump(mode="json"),
    )


def _measurement_run(line: dict[str, Any]) -> RunContent:
    left_out = {name for name, value in line.items() if name.startswith("paper_") or isinstance(value, str)}
    numbers = {name: value for name, value in line.items() if name not in NOT_METRICS | left_out}
    return RunContent(
        name=f"measure {line['study']} {line['configuration']} {line['scenario']}".rstrip(),
        kind="measurement",
        params={name: _text(line[name]) for name in IDENTITY} | {"rounds": str(line["rounds"])},
        metrics=_finite(numbers) if line["outcome"] == "measured" else {},
        tags=_outcome_tags(line["outcome"], line["reason"], line["hint"], line["provenance"])
        | {"not_engaged": line["not_engaged"]},
        record={name: _json_value(value) for name, value in line.items()},
    )


def _outcome_tags(outcome: str, reason: str, hint: str, provenance: str) -> dict[str, str]:
    return {"outcome": outcome, "reason": reason, "hint": hint, "provenance": provenance}


def _finite(numbers: Mapping[str, Any]) -> dict[str, float]:
    known = {name: float(value) for name, value in numbers.items() if value is not None}
    return {name: value for name, value in known.items() if math.isfinite(value)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _json_value(value: Any) -> Any:
    """A table value for JSON: what is missing is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | bool | int | float) or value is None else _text(value)
