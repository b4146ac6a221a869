"""The rounds of a study: each cell once, in random order, stored when the round is whole."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pandas as pd

from inferlab.measure.journal import Journal
from inferlab.measure.order import shuffled
from inferlab.measure.settings import Settings
from inferlab.records import BLOCK_COLUMNS, REQUEST_COLUMNS

Cell = TypeVar("Cell")
Measured = tuple[list[pd.DataFrame], list[dict[str, Any]]]
"""Rows of the requests, and of the block, of every attempt."""


def next_round(settings: Settings, journal: Journal) -> int | None:
    """Number of the first round that the journal does not have; None where it has all."""
    missing = set(range(settings.rounds)) - journal.finished_rounds()
    return min(missing) if missing else None


def measure_rounds(
    cells: Sequence[Cell], settings: Settings, journal: Journal, measure: Callable[[Cell, int, int], Measured]
) -> None:
    """Measure every cell of each round that is missing; `measure` is told the round's number and the cell's place."""
    while (number := next_round(settings, journal)) is not None:
        order = shuffled(cells, settings.seed, settings.study, number)
        done = [measure(cell, number, place) for place, cell in enumerate(order)]
        requests = pd.concat([frame for frames, _ in done for frame in frames], ignore_index=True)
        blocks = pd.DataFrame([row for _, rows in done for row in rows])
        journal.write_round(number, requests.astype(REQUEST_COLUMNS), blocks.astype(BLOCK_COLUMNS))
