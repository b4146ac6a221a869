"""Result trees with chosen truths, written with the classes that the stages use."""

import json
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS, TRIAL_COLUMNS
from inferlab.files import digest_of
from inferlab.measure.precision import RoundsRule
from inferlab.records import (
    ArtifactRecord,
    Configuration,
    CorePlan,
    Engagement,
    MachineRecord,
    OptimizationRecord,
    PayloadMix,
    PlannedConfiguration,
    PlannedScenario,
    PlanRecord,
    QualityRecord,
    SearchSpace,
    StepRecord,
)
from inferlab.studies.base import STUDIES, ProcessStart

SCENARIOS = ("one-caller", "eight-callers", "common-rate")
LEVELS = {f"load-{round(100 * share)}": share for share in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)}
SEARCH = "p99-within-limit"
SEARCH_ROW: dict[str, Any] = {"kind": "search", "p99_limit_s": 0.1, "steps": 4}
START = "process-start"
READY_S = 100.0
"""When a server is ready, over what a request takes one caller."""
CALLERS = {"one-caller": 1, "eight-callers": 8, "64-callers": 64, "common-rate": 2}
STUDY_SCENARIOS = {
    "serving": SCENARIOS,
    "optimization": SCENARIOS[:2],
    "caching": SCENARIOS[1:2],
    "breakdown": SCENARIOS[:2],
    "scalability": ("one-caller", "eight-callers", "64-callers", *LEVELS, SEARCH),
    "cold-start": (START,),
    "tuning": (SEARCH,),
}
SPACE = SearchSpace(trials=3, batch_limits=(1, 4, 8), threads=(1,), replicas=(1,))
TUNED_SPEED = 0.5
"""Latency of a tuned configuration over that of the default."""
NO_MEMORY = "it ran out of memory"
TRIAL_RATES = {8: 50.0, 4: 90.0, 1: float("nan")}
"""What the search of each trial found, by batch limit, in their order: the default, the best, one that failed."""
STAGE_SHARES = {"sent_s": 0.05, "parse_s": 0.1, "queue_s": 0.2, "batch_s": 0.03, "infer_s": 0.4, "serialize_s": 0.07}
"""Of the latency, in the study of where it goes: when a request is sent, and the server's account."""
HANDLER_S = {"": 2.0, "no-validation": 1.0, "no-encoder": 2.0, "no-thread-pool": 3.0, "binary": 0.5}
HANDLER_S |= {"response-model": 2.0, "middleware": 4.0}
"""What each ordinary handler adds to the latency, in units of `Synthetic.http_s`."""
BREAKDOWN = STUDIES.get("breakdown")(
    name="breakdown", kind="breakdown", optimizations=("original", "quantized"), scenarios=("one-caller",)
)
OVERLOADED = 50.0
"""A saturated server's mean latency over its service time, as far as it comes within a block."""
PRECISION = {"original": "fp32", "quantized": "int8-static", "pruned": "fp32", "sparse": "fp32"}
SPEED = {"original": 1.0, "quantized": 0.5, "pruned": 0.75, "sparse": 1.0}
MEASURED_TARGETS = {"cpu-eager": 1.6, "cpu-openvino": 1.0}
ABSENT = {
    "cuda-inductor": ("no CUDA device was found", "run on a machine with an NVIDIA GPU"),
    "inf2-neuronx": ("no Neuron device was found", "start an inf2.xlarge instance"),
}
CACHE_SHARES = (0.0, 0.1, 1.0)
HITS = {0.0: 0.0, 0.1: 0.4, 1.0: 1.0}
HIT_S = 0.0005
MIX = PayloadMix(distinct=50, zipf_exponent=1.0)
NO_ACCELERATOR = "no NVIDIA driver; no AWS Neuron tools"
NO_ENERGY = "no RAPL energy counters (how to get it: a machine of one's own)"
UNSUPPORTED = "PyTorch's eager CPU kernels have no static int8"


@dataclass
class Synthetic:
    """What to write. Latencies in seconds; `noise` is the standard deviation of a block's log latency."""

    machine_id: str = "machine-a"
    environment_id: str = "environment-a"
    profile: str = "full"
    provenance: str = "hardware"
    models: tuple[str, ...] = ("minilm",)
    studies: tuple[str, ...] = ("serving", "optimization")
    rounds: int = 6
    requests: int = 40
    base_latency_s: float = 0.010
    http_s: float = 0.001
    noise: float = 0.01
    seed: int = 1
    samples: int = 400
    invalid: tuple[str, ...] = ()
    """Configuration ids of which every block is invalid."""
    watts: float = float("nan")
    """Power of the CPU packages; where it is NaN, energy is absent."""
    stop: RoundsRule | None = None
    """By which rule `rounds` were measured."""
    overrides: dict[str, float] = field(default_factory=dict)
    """Configuration id to its true latency."""
    torch: str = "2.13.0+cpu"
    weights: str = "0123"
    """Checksum of the optimized models' weights."""

    def configurations(self, study: str, model: str) -> list[Configuration]:
        targets = [*MEASURED_TARGETS, *ABSENT]
        if study == "serving":
            cells = product(targets, ("original", "quantized"), ("direct", "fastapi"), ("none", "dynamic"))
            found = [Configuration(model=model, optimization=o, target=t, path=p, batching=b) for t, o, p, b in cells]
            found += [
                Configuration(model=model, optimization="original", target=t, path="fastapi-plain", batching="none")
                for t in targets
            ]
        elif study == "scalability":
            cells = product(("cpu-openvino",), ("original", "quantized"), ("fastapi",), ("none", "dynamic"))
            found = [Configuration(model=model, optimization=o, target=t, path=p, batching=b) for t, o, p, b in cells]
        elif study == "breakdown":
            found = BREAKDOWN.configurations(model, ("original", "quantized"), ("cpu-openvino",))
            return [*found, next(filter(BREAKDOWN.is_reference, found)).model_copy(update={"twin": True})]
        elif study == "tuning":
            cells = product(("cpu-openvino", "inf2-neuronx"), ("original", "quantized"), (False, True))
            names = {"model": model, "path": "fastapi", "batching": "dynamic"}
            found = [Configuration(**names, optimization=o, target=t, tuned=tuned) for t, o, tuned in cells]
        elif study == "caching":
            found = [
                Configuration(
                    model=model,
                    optimization="original",
                    target="cpu-openvino",
                    path="fastapi",
                    batching="dynamic",
                    cache_share=share,
                )
                for share in CACHE_SHARES
            ]
        elif study == "cold-start":
            cells = product(targets, ("original", "quantized"), ("direct", "fastapi"), ("none",))
            found = [Configuration(model=model, optimization=o, target=t, path=p, batching=b) for t, o, p, b in cells]
        else:
            cells = product(targets, PRECISION)
            found = [
                Configuration(model=model, optimization=o, target=t, path="fastapi", batching="dynamic")
                for t, o in cells
            ]
        reference = next(c for c in found if c.target == "cpu-openvino" and c.optimization == "original")
        return [*found, reference.model_copy(update={"twin": True})]

    def truth_s(self, configuration: Configuration) -> float:
        """True latency of one request under one caller."""
        if configuration.id in self.overrides:
            return self.overrides[configuration.id]
        latency = self.base_latency_s * SPEED[configuration.optimization] * MEASURED_TARGETS[configuration.target]
        latency *= 0.02 if configuration.model == "noop" else 1.0
        if configuration.tuned:
            return TUNED_SPEED * (latency + self.http_s)
        of_path = {"direct": 0.0, "fastapi": 1.0, "fastapi-plain": HANDLER_S[configuration.handler]}
        return latency + self.http_s * of_path[configuration.path]


def absent_telemetry(truth: Synthetic) -> dict[str, str]:
    """Why what is not measured is not, by column."""
    absent = {name: NO_ACCELERATOR for name in BLOCK_COLUMNS if name.startswith("accelerator_")}
    return absent if truth.watts == truth.watts else {**absent, "energy_j": NO_ENERGY}


def write_results(machines: Path, truth: Synthetic) -> Path:
    """Write one set below `machines` and return its folder."""
    folder = machines / truth.machine_id / truth.environment_id / truth.profile
    machine_record(truth).write(folder / "machine.json")
    rng = np.random.default_rng(truth.seed)
    for model in truth.models:
        write_model(folder, truth, model, rng)
        for study in truth.studies:
            write_study(folder, truth, study, model, rng)
    return folder


def machine_record(truth: Synthetic) -> MachineRecord:
    return MachineRecord(
        machine_id=truth.machine_id,
        environment_id=truth.environment_id,
        cpu_model="Synthetic CPU 3000",
        architecture="x86_64",
        logical_cores=2,
        physical_cores=1,
        memory_gib=8,
        accelerators=(),
        python="3.11.9",
        packages={"torch": truth.torch, "openvino": "2026.2", "numpy": "2.4"},
        core_plan=CorePlan(server=(0,), load=(1,), isolated=True, note="one core serves, one generates load"),
    )


def write_model(folder: Path, truth: Synthetic, model: str, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, truth.samples)
    original_right = rng.random(truth.samples) < 0.8
    for optimization, precision in PRECISION.items():
        steps = () if optimization == "original" else (_step(optimization),)
        OptimizationRecord(
            model=model,
            optimization=optimization,
            precision=precision,
            outcome="measured",
            steps=steps,
            macs=700_000 if optimization == "pruned" else 1_000_000,
            macs_original=1_000_000,
            parameters=22_000,
            sparsity=0.5 if optimization == "sparse" else 0.0,
            time_s=2.0,
            files={"module.safetensors": truth.weights},
        ).write(folder / "optimizations" / f"{model}-{optimization}.json")
        for target in (*MEASURED_TARGETS, *ABSENT):
            right = original_right.copy()
            if optimization != "original":
                right[rng.choice(truth.samples, 8, replace=False)] ^= True
            _write_artifact(folder, truth, model, optimization, precision, target, labels, right)


def _step(optimization: str) -> StepRecord:
    kind = {"quantized": "calibrate", "pruned": "prune", "sparse": "sparsify"}[optimization]
    return StepRecord(kind=kind, options={"amount": 0.5}, time_s=1.0, metrics={"macs_kept_share": 0.7})


def _write_artifact(
    folder: Path,
    truth: Synthetic,
    model: str,
    optimization: str,
    precision: str,
    target: str,
    labels: np.ndarray,
    right: np.ndarray,
) -> None:
    outcome, reason, hint = cell_outcome(optimization, target)
    names: dict[str, Any] = {"model": model, "optimization": optimization, "target": target}
    names |= {"outcome": outcome, "reason": reason, "provenance": truth.provenance}
    measured: dict[str, Any] = {}
    if outcome == "measured":
        int8 = precision != "fp32"
        engagement = Engagement(
            operators=10,
            low_precision_operators=8 if int8 else 0,
            low_precision_operator_share=0.8 if int8 else 0.0,
            low_precision_mac_share=0.95 if int8 else 0.0,
            zeroed_weight_share=0.5 if optimization == "sparse" else 0.0,
            sparse_kernels=False,
            macs_removed_share=0.3 if optimization == "pruned" else 0.0,
            operators_on_accelerator_share=None,
            note="not engaged: no kernel uses the zeroed weights" if optimization == "sparse" else "",
        )
        measured = {"build_time_s": 3.0, "size_bytes": 5_000_000 if int8 else 20_000_000, "engagement": engagement}
    cell = Path(model) / optimization / target
    ArtifactRecord(**names, hint=hint, precision=precision, **measured).write(
        folder / "artifacts" / cell / "artifact.json"
    )
    if outcome != "measured" or model == "noop":
        QualityRecord(**{**names, "outcome": "unsupported" if outcome == "measured" else outcome}).write(
            folder / "quality" / cell / "quality.json"
        )
        return
    value = float(right.mean())
    QualityRecord(
        **names, metric="accuracy", value=value, low=value - 0.02, high=value + 0.02, samples=truth.samples, time_s=1.0
    ).write(folder / "quality" / cell / "quality.json")
    predictions = np.where(right, labels, 1 - labels)
    frame = pd.DataFrame({"index": np.arange(truth.samples), "label": labels, "prediction": predictions})
    frame.to_parquet(folder / "quality" / cell / "predictions.parquet")


def cell_outcome(optimization: str, target: str) -> tuple[str, str, str]:
    """Outcome, reason and hint of an optimization on a target."""
    if target in ABSENT:
        return ("unavailable", *ABSENT[target])
    if optimization == "quantized" and target == "cpu-eager":
        return ("unsupported", UNSUPPORTED, "")
    return ("measured", "", "")


def write_study(folder: Path, truth: Synthetic, study: str, model: str, rng: np.random.Generator) -> None:
    configurations = truth.configurations(study, model)
    planned = []
    for configuration in configurations:
        outcome, reason, hint = cell_outcome(configuration.optimization, configuration.target)
        kept = None if outcome == "measured" else outcome
        planned.append(
            PlannedConfiguration(
                configuration=configuration,
                outcome=kept,
                reason=reason,
                hint=hint,
                provenance=truth.provenance,
                artifact_digest=digest_of({}) if kept is None else None,
            )
        )
    reference = next(c for c in configurations if c.twin).model_copy(update={"twin": False}).id
    mix = MIX if study == "caching" else PayloadMix()
    scenarios = STUDY_SCENARIOS[study]
    PlanRecord(
        study=study,
        kind=study,
        model=model,
        payloads=mix,
        scenarios=tuple(PlannedScenario(name=name, row=scenario_row(name)) for name in scenarios),
        search_space=SPACE if study == "tuning" else None,
        reference=reference,
        configurations=tuple(planned),
    ).write(folder / "plans" / f"{study}-{model}.json")
    blocks: list[dict[str, Any]] = []
    requests: list[pd.DataFrame] = []
    for round_number in range(1, truth.rounds + 1):
        drift = rng.normal(0, 0.05)
        for entry in planned:
            if entry.outcome is None:
                for scenario in scenarios:
                    make = {SEARCH: _search, START: _start}.get(scenario, _single)
                    for block, frame in make(truth, study, entry.configuration, scenario, round_number, drift, rng):
                        blocks.append(block)
                        requests.append(frame)
    out = folder / "measurements" / study / model
    out.mkdir(parents=True, exist_ok=True)
    dtypes = {name: dtype for name, dtype in BLOCK_COLUMNS.items() if dtype != "str"}
    more = [*(ProcessStart.COLUMNS if START in scenarios else ()), *(truth.stop.columns() if truth.stop else ())]
    if truth.stop is not None:
        blocks = [{**block, **truth.stop.columns()} for block in blocks]
    pd.DataFrame(blocks, columns=[*BLOCK_COLUMNS, *more]).astype(dtypes).to_parquet(out / "blocks.parquet")
    pd.concat(requests, ignore_index=True)[list(REQUEST_COLUMNS)].astype(REQUEST_COLUMNS).to_parquet(
        out / "requests.parquet", compression="zstd"
    )
    if study == "tuning":
        _trials(truth, planned).to_parquet(out / "trials.parquet", index=False)


def _trials(truth: Synthetic, planned: list[PlannedConfiguration]) -> pd.DataFrame:
    """Of each tuned configuration that is measured; the second is chosen."""
    rows = []
    for row in (each.configuration for each in planned if each.configuration.tuned and each.outcome is None):
        for number, (limit, rate) in enumerate(TRIAL_RATES.items()):
            key = {"study": "tuning", "configuration": row.id, "model": row.model, "scenario": SEARCH}
            key |= {"machine_id": truth.machine_id, "environment_id": truth.environment_id, "profile": truth.profile}
            key |= {"provenance": truth.provenance, "trial": number, "batch_limit": limit, "threads": 1, "replicas": 1}
            known = rate == rate
            found = {"candidates": 3, "cores_granted": 1, "started_unix_s": 1.79e9, "duration_s": 12.0}
            found |= {"capacity_per_s": 100.0, "rate_per_s": rate, "latency_p99_s": 0.09 if known else np.nan}
            found |= {
                "outcome": "measured" if known else "unsupported",
                "reason": "" if known else "it ran out of memory",
            }
            rows.append({**key, **found, "chosen": number == 1})
    return pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS)


def scenario_row(name: str) -> dict[str, Any]:
    """The scenario as params.yaml has it."""
    if name == "common-rate":
        return {"kind": "open", "share_of_slowest": 0.5}
    if name in LEVELS:
        return {"kind": "level", "share_of_capacity": LEVELS[name]}
    if name == SEARCH:
        return SEARCH_ROW
    if name == START:
        return {"kind": "start"}
    return {"kind": "closed", "callers": CALLERS[name]}


Blocks = list[tuple[dict[str, Any], pd.DataFrame]]


def _single(truth: Synthetic, study: str, configuration: Configuration, scenario: str, *more: Any) -> Blocks:
    return [_block(truth, study, configuration, scenario, *more, share=LEVELS.get(scenario))]


def _start(*given: Any) -> Blocks:
    """One request is measured, due when the process starts; a server is ready after READY_S times what it takes."""
    block, frame = _block(*given)
    request_s = block["latency_p50_s"]
    ready_s = READY_S * request_s
    frame = frame.iloc[:2].assign(warmup=[False, True], scheduled_s=[0.0, ready_s], sent_s=ready_s)
    frame["done_s"] = frame["sent_s"] + request_s
    answer_s = float(np.float32(ready_s + request_s))
    block |= {name: answer_s for name in block if name.startswith("latency_") and name != "latency_std_s"}
    block |= {"requests_ok": 1, "throughput_per_s": np.nan, "cpu_s_per_request": np.nan, "offered_rate_per_s": np.nan}
    block |= {"ready_s": ready_s, "session_load_s": 0.5 * ready_s, "first_inference_s": 3 * request_s}
    block |= {"second_inference_s": request_s, "first_request_s": request_s, "second_request_s": 0.5 * request_s}
    return [(block, frame)]


def _search(*given: Any) -> Blocks:
    """A bisection on a queue whose capacity is the inverse of its service time."""
    low, high = 0.0, 1.0
    found = []
    for step in range(SEARCH_ROW["steps"]):
        share = (low + high) / 2
        found.append(_block(*given, share=share, attempt=step))
        kept = found[-1][0]["latency_p99_s"] <= SEARCH_ROW["p99_limit_s"]
        low, high = (share, high) if kept else (low, share)
    return found


def _block(
    truth: Synthetic,
    study: str,
    configuration: Configuration,
    scenario: str,
    round_number: int,
    drift: float,
    rng: np.random.Generator,
    share: float | None = None,
    attempt: int = 1,
) -> tuple[dict[str, Any], pd.DataFrame]:
    callers = CALLERS.get(scenario, 1)
    batch = min(callers, 8) if configuration.batching == "dynamic" else 1
    typical_s = truth.truth_s(configuration) * float(np.exp(drift + rng.normal(0, truth.noise)))
    typical_s *= callers * (0.7 if batch == 8 else 1.0)
    hits = np.arange(truth.requests) % 10 < 10 * HITS[configuration.cache_share]
    latency = np.where(hits, HIT_S * callers, typical_s) * np.exp(rng.normal(0, 0.1, truth.requests))
    rate = 20.0 if scenario == "common-rate" else callers / float(latency.mean())
    if share is not None:
        # Sojourn times of M/M/1: exponential, the service time over what the load leaves idle.
        rate = share / typical_s
        latency = rng.exponential(typical_s / (1 - share) if share < 1 else OVERLOADED * typical_s, truth.requests)
    sent = np.arange(truth.requests) / rate
    keys = {"study": study, "configuration": configuration.id, "scenario": scenario, "machine_id": truth.machine_id}
    keys |= {"round": round_number, "attempt": attempt}
    invalid = configuration.id in truth.invalid
    columns = {"scheduled_s": sent, "sent_s": sent, "first_byte_s": sent + latency, "done_s": sent + latency}
    frame = pd.DataFrame(columns | dict.fromkeys(("parse_s", "queue_s", "batch_s", "serialize_s"), 0.0))
    frame = frame.assign(**keys, warmup=np.arange(truth.requests) < 3, status="ok", infer_s=latency, batch_size=batch)
    if study == "breakdown":
        frame = frame.assign(**{name: part * latency for name, part in STAGE_SHARES.items()})
        frame["sent_s"] += sent
        if configuration.path == "direct":
            frame[["parse_s", "serialize_s"]] = 0.0
    frame["cached"] = hits
    frame["http_status"] = 0 if configuration.path == "direct" else 200
    kept = latency[3:]
    quantiles = np.quantile(kept, [0.5, 0.9, 0.95, 0.99])
    block = {
        **keys,
        **configuration.model_dump(),
        "environment_id": truth.environment_id,
        "provenance": truth.provenance,
        "profile": truth.profile,
        "order": 1,
        "started_unix_s": 1_790_000_000.0 + 60 * round_number,
        "duration_s": 0.5,
        "warmup_s": 0.1,
        "requests_ok": kept.size,
        "requests_error": 0,
        "requests_timeout": 0,
        "requests_rejected": 0,
        "offered_rate_per_s": rate if scenario == "common-rate" or share is not None else np.nan,
        "throughput_per_s": rate,
        "latency_mean_s": kept.mean(),
        "latency_std_s": kept.std(),
        **{f"latency_{name}_s": value for name, value in zip(("p50", "p90", "p95", "p99"), quantiles, strict=True)},
        "latency_max_s": kept.max(),
        "batch_size_mean": float(batch),
        "cache_hit_share": float(hits[3:].mean()) if configuration.cache_share else np.nan,
        "cores_granted": 1,
        "cpu_s": 0.45,
        "cpu_utilization_percent": 90.0 + rng.normal(0, 1),
        "cpu_s_per_request": typical_s / callers,
        "cores_used": 0.9,
        "memory_rss_mib": 340.0,
        "memory_peak_rss_mib": 350.0,
        "memory_pss_mib": 300.0 + rng.normal(0, 1),
        "memory_utilization_percent": 3.7,
        "energy_j": truth.watts * kept.size / rate,
        "energy_j_per_request": truth.watts / rate,
        **dict.fromkeys((name for name in BLOCK_COLUMNS if name.startswith("accelerator_")), np.nan),
        "client_cpu_percent": 20.0,
        "schedule_lag_p99_s": 0.0001,
        "machine_cpu_other_percent": 1.0,
        "cpu_steal_percent": 0.0,
        "throttle_events": 0.0,
        "load_average_1m": 1.0,
        "telemetry_absent": json.dumps(absent_telemetry(truth)),
        "outcome": "invalid" if invalid else "measured",
        "reason": "the client was late" if invalid else "",
        "advice": "give the client a core of its own" if invalid else "",
    }
    return block, frame
