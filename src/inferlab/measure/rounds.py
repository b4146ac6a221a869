"""The rounds of a study: each cell once, in random order, stored when the round is whole."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pandas as pd

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.measure.journal import Journal
from inferlab.measure.order import shuffled
from inferlab.measure.settings import Settings

Cell = TypeVar("Cell")
Measured = tuple[list[pd.DataFrame], list[dict[str, Any]]]
"""Rows of the requests, and of the block, of every attempt."""


def next_round(settings: Settings, journal: Journal) -> int | None:
    """Number of the first round that the journal does not have; None where it has all.

    With a stop rule, those that it has decide whether there is another.
    """
    finished = journal.finished_rounds()
    missing = set(range(settings.rounds)) - finished
    if missing:
        return min(missing)
    if settings.stop is None or settings.stop.is_met(journal.blocks()):
        return None
    return max(finished) + 1


def measure_rounds(
    cells: Sequence[Cell], settings: Settings, journal: Journal, measure: Callable[[Cell, int, int], Measured]
) -> None:
    """Measure every cell of each round that is missing; `measure` is told the round's number and the cell's place."""
    rule = {} if settings.stop is None else settings.stop.columns()
    while (number := next_round(settings, journal)) is not None:
        order = shuffled(cells, settings.seed, settings.study, number)
        done = [measure(cell, number, place) for place, cell in enumerate(order)]
        requests = pd.concat([frame for frames, _ in done for frame in frames], ignore_index=True)
        blocks = pd.DataFrame([{**row, **rule} for _, rows in done for row in rows])
        journal.write_round(number, requests.astype(REQUEST_COLUMNS), blocks.astype(BLOCK_COLUMNS))
