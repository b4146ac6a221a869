"""Everything that analyze writes, from the result sets to files."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.analyze.ablation import ablation_table
from inferlab.analyze.breakdown import breakdown_table
from inferlab.analyze.caching import caching_table
from inferlab.analyze.cold_start import cold_start_table
from inferlab.analyze.comparisons import comparison_table, noise_table
from inferlab.analyze.engagement import engagement_table
from inferlab.analyze.headline import headline, machine_table
from inferlab.analyze.interactions import interaction_table
from inferlab.analyze.knee import knee_table
from inferlab.analyze.latency import latency_quantiles, latency_table
from inferlab.analyze.machines import machine_comparisons
from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.quality import quality_table
from inferlab.analyze.rate_limit import rate_limit_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import rows_of
from inferlab.analyze.scalability import scalability_table
from inferlab.analyze.stopping import stopping_table
from inferlab.analyze.tenfold import tenfold_table
from inferlab.analyze.throughput import throughput_table
from inferlab.analyze.tuning import trial_table, tuning_table
from inferlab.analyze.utilization import absent_table, utilization_table
from inferlab.files import file_digest, whole_file

if TYPE_CHECKING:
    import pandas as pd

TABLES = "tables"
PLOTS = "plots"
CHECKSUMS = "checksums.json"
"""Under TABLES: SHA-256 of every file that the report reads, by its path from results/."""

SIGNIFICANT = "%.7g"
"""Float format of the CSV files: more digits than any measurement has, fewer than change between equal runs."""


def write_tables(
    results: Path,
    scenarios: Mapping[str, Sequence[str]],
    open_loop: Collection[str],
    confidence: float,
    this: tuple[str, str, str] | None,
) -> None:
    """Read `results/machines/` and write `tables/*.csv`, `comparisons.csv`, `metrics.json` and `plots/*.csv` beside it.

    `tables/checksums.json` lists what the report reads, so that it can tell a damaged table. `this` is the
    key (machine id, environment id, profile) of the run that is looked at: it stands first in the tables, and metrics
    and plots are of it alone. Raises DataError where the sets must not stand together.
    """
    sets = load_results(results / "machines", first=this)
    rows = [row for found in sets for row in rows_of(found, scenarios, open_loop)]
    latency = latency_table(rows, confidence)
    throughput = throughput_table(rows, confidence)
    optimization = optimization_table(rows, confidence)
    caching = caching_table(rows, confidence)
    noise = noise_table(rows, confidence)
    tables = {
        "machines": machine_table(sets, this),
        "machine_comparisons": machine_comparisons(rows, confidence),
        "latency": latency,
        "latency_quantiles": latency_quantiles(rows),
        "throughput": throughput,
        "utilization": utilization_table(rows, confidence),
        "telemetry_absent": absent_table(sets),
        "optimization": optimization,
        "caching": caching,
        "cold_start": cold_start_table(rows, confidence),
        "scalability": scalability_table(rows, confidence),
        "knees": knee_table(rows, confidence),
        "rate_limits": rate_limit_table(rows, confidence),
        "tenfold": tenfold_table(rows, confidence),
        "tuning": tuning_table(rows, confidence),
        "trials": trial_table(sets),
        "breakdown": breakdown_table(rows, confidence),
        "ablation": ablation_table(rows, confidence),
        "engagement": engagement_table(sets, rows, confidence),
        "quality": quality_table(sets, confidence),
        "interactions": interaction_table(rows, confidence),
        "noise": noise,
        "stopping": stopping_table(sets),
    }
    files = {f"{TABLES}/{name}.csv": frame for name, frame in tables.items()}
    files["comparisons.csv"] = comparison_table(rows, confidence)
    for name, frame in files.items():
        _write_csv(frame, results / name)
    with whole_file(results / TABLES / CHECKSUMS) as part:
        checksums = {name: file_digest(results / name) for name in files}
        part.write_text(json.dumps(checksums, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    with whole_file(results / "metrics.json") as part:
        apart = {row.keys["study"] for row in rows if row.stands_apart}
        latency, throughput = (frame[~frame["study"].isin(apart)] for frame in (latency, throughput))
        numbers = headline(this, latency, optimization, noise)
        part.write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _write_plots(results / PLOTS, latency, throughput, this)


def _write_plots(
    folder: Path, latency: "pd.DataFrame", throughput: "pd.DataFrame", this: tuple[str, str, str] | None
) -> None:
    """Measured closed-loop rows of this run for `dvc plots`: one file a metric, a label a row."""
    for name, frame, column, scale in (
        ("latency", latency, "latency_p50_s", 1000.0),
        ("throughput", throughput, "throughput_mean_per_s", 1.0),
    ):
        unit = "latency_p50_ms" if name == "latency" else column
        shown = frame[(frame["outcome"] == "measured") & (frame["loop"] == "closed") & ~frame["twin"].astype(bool)]
        if this is not None:
            for name_of, value in zip(("machine_id", "environment_id", "profile"), this, strict=True):
                shown = shown[shown[name_of] == value]
        label = shown["configuration"] + " " + shown["scenario"]
        plotted = shown.assign(label=label, **{unit: shown[column] * scale})[["model", "label", unit]]
        _write_csv(plotted.drop_duplicates("label"), folder / f"{name}.csv")


def _write_csv(frame: "pd.DataFrame", path: Path) -> None:
    with whole_file(path) as part:
        frame.to_csv(part, index=False, float_format=SIGNIFICANT, lineterminator="\n")
