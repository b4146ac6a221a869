"""Arrivals as they were recorded: the replay of a file of timestamps."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inferlab.errors import UserError
from inferlab.load.arrivals import Arrivals

MOST_BYTES = 256 * 2**20
COLUMN = "timestamp_s"
"""Of a trace with several columns; a file without a header holds a timestamp and nothing else in each line."""


@dataclass(frozen=True, eq=False)
class TraceArrivals(Arrivals):
    """The moments of a trace, its first one at the block's start; what is due later than the block lasts is left out.

    `moments_s`: [requests] float64, ascending, in seconds; a trace may count them from any moment.
    """

    moments_s: np.ndarray

    @property
    def duration_s(self) -> float:
        """How long the whole trace lasts: from its first moment to its last one, and a mean gap; 1 s without gaps."""
        span_s = float(self.moments_s[-1] - self.moments_s[0])
        return span_s * len(self.moments_s) / (len(self.moments_s) - 1) if span_s > 0 else 1.0

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        offsets_s = self.moments_s - self.moments_s[0]
        within: np.ndarray = offsets_s[offsets_s < duration_s]
        return within


def read_trace(path: Path, most: int) -> TraceArrivals:
    """Read a text file with a timestamp a line, or a CSV file with a column `timestamp_s`, in seconds, ascending.

    Empty lines are passed over. Raises UserError naming file, line and value where something else stands there, where
    the file holds no timestamp, more than `most` of them, or more bytes than MOST_BYTES.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; a trace is a text file with a timestamp in seconds a line")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes; a trace may have {MOST_BYTES:,}")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            moments_s = list(_checked(path, _cells(path, stream), most))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no text file with a timestamp in seconds a line: {error}") from None
    if not moments_s:
        raise UserError(f"{path} holds no timestamp; a trace needs at least one")
    return TraceArrivals(np.array(moments_s, dtype=np.float64))


def _cells(path: Path, stream: Iterable[str]) -> Iterator[tuple[int, str]]:
    """(number of the line, text of its timestamp)"""
    rows = csv.reader(stream)
    place, first = 0, True
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if first and not _is_number(cells[0]):
            if COLUMN not in cells:
                raise UserError(
                    f"{path}: line {rows.line_num}: {','.join(row)[:80]!r} is neither a timestamp in seconds nor a "
                    f"header with a column {COLUMN!r}"
                )
            place = cells.index(COLUMN)
        else:
            yield rows.line_num, cells[place] if place < len(cells) else ""
        first = False


def _checked(path: Path, cells: Iterable[tuple[int, str]], most: int) -> Iterator[float]:
    last_s = -math.inf
    for count, (line, text) in enumerate(cells, start=1):
        moment_s = float(text) if _is_number(text) else math.nan
        if not (math.isfinite(moment_s) and moment_s >= last_s):
            least = "" if last_s == -math.inf else f", not below the one before it ({last_s!r})"
            raise UserError(
                f"{path}: line {line}: {text[:80]!r} is not allowed; allowed: a finite number of seconds{least}"
            )
        if count > most:
            raise UserError(f"{path}: line {line}: a trace may hold {most:,} timestamps, and this one holds more")
        last_s = moment_s
        yield moment_s


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
