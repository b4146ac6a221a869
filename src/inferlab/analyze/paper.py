"""The paper's own values (outcome `published`), found by path, precision and batching."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

NOOP = "noop"


@cache
def paper_tables() -> dict[str, Any]:
    """The facts of the paper's Tables 1 to 3, with their source and device."""
    text = files("inferlab.analyze").joinpath("paper_tables.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def paper_values(keys: dict[str, Any], columns: tuple[str, ...]) -> dict[str, float | None]:
    """The paper's values of a row, as `paper_<column>`; None where the paper has no such row.

    Only the untouched and the quantized model have one, and quantization with batching is missing from the paper. The
    paper has neither an A/A twin nor a response cache nor a model that does nothing.
    """
    wanted = (keys["path"], keys["precision"], keys["batching"])
    structure_changed = keys["precision"] == "fp32" and keys["optimization"] != "original"
    is_of_paper = not structure_changed and not (keys["twin"] or keys["cache_share"]) and keys["model"] != NOOP
    for row in paper_tables()["configurations"]:
        if (row["path"], row["precision"], row["batching"]) == wanted and is_of_paper:
            return {f"paper_{name}": float(row[name]) for name in columns}
    return {f"paper_{name}": None for name in columns}
