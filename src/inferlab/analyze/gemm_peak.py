"""Which share of this machine's measured peak of matrix products a row reaches: the physical limit beside its speed."""

from collections.abc import Iterable

from inferlab.analyze.rows import Row
from inferlab.studies.base import ClosedLoop

PEAK_MODEL = "gemm"
"""The row of params.yaml whose rate is the peak: a chain of matrix products."""
OPERATIONS_PER_MAC = 2

Key = tuple[object, ...]


def operations_per_s(row: Row) -> float | None:
    """Multiplications and additions of the model as optimized, a second, mean of rounds; None where that is unknown.

    Of closed loops alone, since an offered rate says nothing about speed.
    """
    optimization = row.results.optimizations.get((row.keys["model"], row.keys["optimization"]))
    if not row.measured or optimization is None or not isinstance(row.scenario, ClosedLoop):
        return None
    items_per_s = float(row.values("throughput_per_s").mean()) * row.scenario.items
    return OPERATIONS_PER_MAC * optimization.macs * items_per_s


def gemm_peaks(rows: Iterable[Row]) -> dict[Key, float]:
    """The highest rate that any engine reaches with matrix products, by what `peak_key` says of its row."""
    peaks: dict[Key, float] = {}
    for row in rows:
        rate = operations_per_s(row) if row.keys["model"] == PEAK_MODEL else None
        if rate is not None:
            peaks[peak_key(row)] = max(rate, peaks.get(peak_key(row), 0.0))
    return peaks


def gemm_peak_share(row: Row, peaks: dict[Key, float]) -> float | None:
    """The row's rate over the peak of its precision, 0 to about 1; None where no peak was measured beside it."""
    rate, peak = operations_per_s(row), peaks.get(peak_key(row))
    return None if rate is None or not peak else rate / peak


def peak_key(row: Row) -> Key:
    """What must be the same: machine, study, device, and the type of the numbers; both ways to int8 are one type."""
    device = str(row.keys["target"]).partition("-")[0]
    return (*row.results.key, row.keys["study"], device, str(row.keys["precision"]).partition("-")[0])
