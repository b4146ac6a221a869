"""Whether optimizations took effect: what the artifacts' manifests tell, and the cores that their servers used."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from inferlab.analyze.results import SET_KEYS, ResultSet
from inferlab.analyze.rows import Row
from inferlab.analyze.statistics import mean_interval
from inferlab.studies.base import ClosedLoop

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "operators": "float64",
    "low_precision_operator_share": "float64",
    "low_precision_mac_share": "float64",
    "zeroed_weight_share": "float64",
    "zeroed_weight_used_share": "float64",
    "macs_removed_share": "float64",
    "operators_on_accelerator_share": "float64",
    "cores_granted": "float64",
    "cores_used": "float64",
    "cores_used_low": "float64",
    "cores_used_high": "float64",
    "cores_used_share": "float64",
    "saturated_by": "str",
    "note": "str",
    "not_engaged": "str",
}


def engagement_table(sets: Iterable[ResultSet], rows: Sequence[Row], confidence: float) -> "pd.DataFrame":
    """One line an artifact; without numbers, but with the reason, where it could not be made.

    Shares are 0 to 1, of compute operators, their MACs, and weights. `zeroed_weight_used_share` is of the zeroed
    weights those that a kernel skips; blank where none are zero. `cores_used` are CPU-seconds of the server's process
    tree over wall time, the mean over rounds with its t interval, in the closed loop with most callers (`saturated_by`
    names configuration and scenario): of those that were measured the one with the highest throughput, over HTTP where
    there is one, since on the path `direct` the callers' work counts too.
    """
    import pandas as pd

    saturated = _saturated(rows)
    lines = []
    for found in sets:
        for (model, optimization, target), artifact in found.artifacts.items():
            cell = {"model": model, "optimization": optimization, "target": target, "precision": artifact.precision}
            line = {**dict(zip(SET_KEYS, found.key, strict=True)), **cell}
            line |= {"outcome": artifact.outcome, "reason": artifact.reason, "hint": artifact.hint}
            row = saturated.get((*found.key, model, optimization, target))
            lines.append({**line, **_shares(found, model, optimization, target), **_cores(row, confidence)})
    names = [*SET_KEYS, "model", "optimization", "target", "precision", "outcome", "reason", "hint", *COLUMNS]
    frame = pd.DataFrame.from_records(lines, columns=names)
    return frame.astype({name: dtype for name, dtype in COLUMNS.items() if dtype == "float64"})


def _shares(found: ResultSet, model: str, optimization: str, target: str) -> dict[str, Any]:
    engagement = found.artifacts[(model, optimization, target)].engagement
    values: dict[str, Any] = {"note": "", "not_engaged": found.not_engaged(model, optimization, target)}
    if engagement is None:
        return values
    values |= {name: value for name, value in engagement.model_dump().items() if name in COLUMNS}
    if engagement.zeroed_weight_share == 0:
        values["zeroed_weight_used_share"] = None
    return values


def _saturated(rows: Sequence[Row]) -> dict[tuple[str, ...], Row]:
    """Of each artifact, the row that says how many cores its server uses when it has as much to do as it can."""
    best: dict[tuple[str, ...], tuple[tuple[bool, int, float], Row]] = {}
    for row in rows:
        if row.measured and not row.keys["twin"] and not row.stands_apart and isinstance(row.scenario, ClosedLoop):
            key = (*row.results.key, *(row.keys[name] for name in ("model", "optimization", "target")))
            rate = float(row.by_round("throughput_per_s").mean())
            rank = (row.keys["path"] != "direct", row.scenario.callers, rate)
            if key not in best or rank > best[key][0]:
                best[key] = (rank, row)
    return {key: row for key, (_, row) in best.items()}


def _cores(row: Row | None, confidence: float) -> dict[str, Any]:
    if row is None:
        return {"saturated_by": ""}
    used = mean_interval(row.values("cores_used"), confidence)
    granted = float(row.values("cores_granted").mean())
    return {
        "cores_granted": granted,
        "cores_used": used.value,
        "cores_used_low": used.low,
        "cores_used_high": used.high,
        "cores_used_share": used.value / granted,
        "saturated_by": f"{row.keys['configuration']}, {row.keys['scenario']}, study {row.keys['study']}",
    }
