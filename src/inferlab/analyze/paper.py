"""The paper's own values (outcome `published`), found by path, precision and batching."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

PAPER_COLUMNS = (
    "latency_mean_ms",
    "latency_std_ms",
    "throughput_mean_per_s",
    "throughput_std_per_s",
    "cpu_percent",
    "accelerator_percent",
    "memory_percent",
)


@cache
def paper_tables() -> dict[str, Any]:
    """The facts of the paper's Tables 1 to 3, with their source and device."""
    text = files("inferlab.analyze").joinpath("paper_tables.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def paper_values(keys: dict[str, Any], columns: tuple[str, ...]) -> dict[str, float | None]:
    """The paper's values of a row, as `paper_<column>`; None where the paper has no such row.

    Only the untouched and the quantized model have one, and quantization with batching is missing from the paper.
    """
    wanted = (keys["path"], keys["precision"], keys["batching"])
    structure_changed = keys["precision"] == "fp32" and keys["optimization"] != "original"
    for row in paper_tables()["configurations"]:
        if (row["path"], row["precision"], row["batching"]) == wanted and not structure_changed:
            return {f"paper_{name}": float(row[name]) for name in columns}
    return {f"paper_{name}": None for name in columns}
