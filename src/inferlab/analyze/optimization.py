"""What each optimization did to speed, accuracy and size, and whether it took effect in the artifact."""

from typing import TYPE_CHECKING, Any

from inferlab.analyze.gemm_peak import gemm_peak_share, gemm_peaks
from inferlab.analyze.quality import ORIGINAL, quality_values
from inferlab.analyze.rows import Row, table
from inferlab.analyze.statistics import (
    PairedRatio,
    geometric_interval,
    mean_interval,
    paired_ratio,
)

if TYPE_CHECKING:
    import pandas as pd

USERS_ENGINE = "cpu-eager"

SPEEDUPS = ("speedup_vs_users", "speedup_vs_best_fp32", "speedup_vs_same_target")
COLUMNS = {
    "latency_p50_s": "float64",
    "latency_p50_low_s": "float64",
    "latency_p50_high_s": "float64",
    "throughput_mean_per_s": "float64",
    "throughput_low_per_s": "float64",
    "throughput_high_per_s": "float64",
    **{f"{name}{part}": "float64" for name in SPEEDUPS for part in ("", "_low", "_high")},
    "best_fp32": "str",
    "gemm_peak_share": "float64",
    "quality_metric": "str",
    "samples": "float64",
    "quality": "float64",
    "quality_low": "float64",
    "quality_high": "float64",
    "quality_difference": "float64",
    "quality_difference_low": "float64",
    "quality_difference_high": "float64",
    "quality_difference_p_value": "float64",
    "size_bytes": "float64",
    "macs": "float64",
    "macs_kept_share": "float64",
    "parameters": "float64",
    "sparsity": "float64",
    "optimize_time_s": "float64",
    "build_time_s": "float64",
    "low_precision_operator_share": "float64",
    "low_precision_mac_share": "float64",
    "engagement": "str",
}


def optimization_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row, with accuracy and engagement beside its speed. A/A twins and rows that stand apart are left out.

    Speed-ups are ratios of throughput (closed loop), paired by round, above 1 is faster: `speedup_vs_users` against the
    original on cpu-eager, what a user of PyTorch has; `speedup_vs_best_fp32` against the fastest target that runs the
    original; `speedup_vs_same_target` against the original on the row's own target, which leaves what the optimization
    did. All stand under the same study, path, batching and scenario. Accuracy differences are against the
    original on the same target, on the same samples. `gemm_peak_share` is of studies that measured the peak as well.
    """
    kept = [row for row in rows if not row.keys["twin"] and not row.stands_apart]
    peaks = gemm_peaks(kept)
    names = ("model", "optimization", "target")
    quality: dict[tuple[str, ...], dict[str, Any]] = {}
    lines = []
    for row in kept:
        model, optimization, target = (str(row.keys[name]) for name in names)
        key = (*row.results.key, model, optimization, target)
        if key not in quality:
            quality[key] = quality_values(row.results, model, optimization, target, confidence)
        share = {"gemm_peak_share": gemm_peak_share(row, peaks)}
        lines.append({**_facts(row), **quality[key], **_speed(row, kept, confidence), **share})
    return table(kept, COLUMNS, lines)


def _speed(row: Row, rows: list[Row], confidence: float) -> dict[str, Any]:
    if not row.measured:
        return {}
    median = geometric_interval(row.values("latency_p50_s"), confidence)
    rate = mean_interval(row.values("throughput_per_s"), confidence)
    values: dict[str, Any] = {
        "latency_p50_s": median.value,
        "latency_p50_low_s": median.low,
        "latency_p50_high_s": median.high,
        "throughput_mean_per_s": rate.value,
        "throughput_low_per_s": rate.low,
        "throughput_high_per_s": rate.high,
    }
    originals = _originals_beside(row, rows) if row.keys["loop"] == "closed" else {}
    if USERS_ENGINE in originals:
        values |= _speedup(SPEEDUPS[0], row, originals[USERS_ENGINE], confidence)
    target = str(row.keys["target"])
    if target in originals:
        values |= _speedup(SPEEDUPS[2], row, originals[target], confidence)
    if originals:
        best = max(originals, key=lambda target: float(originals[target].by_round("throughput_per_s").mean()))
        values |= {"best_fp32": best, **_speedup(SPEEDUPS[1], row, originals[best], confidence)}
    return values


def _originals_beside(row: Row, rows: list[Row]) -> dict[str, Row]:
    """Measured rows of the original under the same circumstances, by target."""
    same = ("study", "model", "path", "batching", "cache_share", "scenario")
    return {
        str(other.keys["target"]): other
        for other in rows
        if other.measured
        and other.results.key == row.results.key
        and other.keys["optimization"] == ORIGINAL
        and all(other.keys[name] == row.keys[name] for name in same)
    }


def _speedup(name: str, row: Row, reference: Row, confidence: float) -> dict[str, float]:
    if row is reference:
        return {name: 1.0}
    found: PairedRatio = paired_ratio(
        row.by_round("throughput_per_s"), reference.by_round("throughput_per_s"), confidence
    )
    return {name: found.ratio, f"{name}_low": found.low, f"{name}_high": found.high}


def _facts(row: Row) -> dict[str, Any]:
    """Size, work and engagement from the manifests."""
    key = (row.keys["model"], row.keys["optimization"])
    optimization = row.results.optimizations.get(key)
    artifact = row.results.artifacts.get((*key, row.keys["target"]))
    values: dict[str, Any] = {"best_fp32": "", "quality_metric": "", "engagement": ""}
    if optimization is not None and optimization.outcome == "measured":
        values |= {
            "macs": optimization.macs,
            "macs_kept_share": optimization.macs / optimization.macs_original if optimization.macs_original else None,
            "parameters": optimization.parameters,
            "sparsity": optimization.sparsity,
            "optimize_time_s": optimization.time_s,
        }
    if artifact is not None and artifact.outcome == "measured":
        values |= {"size_bytes": artifact.size_bytes, "build_time_s": artifact.build_time_s}
        if artifact.engagement is not None:
            values |= {
                "low_precision_operator_share": artifact.engagement.low_precision_operator_share,
                "low_precision_mac_share": artifact.engagement.low_precision_mac_share,
                "engagement": artifact.engagement.note,
            }
    return values
