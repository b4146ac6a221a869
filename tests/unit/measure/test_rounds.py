"""When rounds end: a fixed number of them, or a rule that looks at what they found."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fakes import settings

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.measure.journal import BLOCKS, Journal
from inferlab.measure.precision import RoundsRule, rule_of, widest
from inferlab.measure.rounds import Measured, measure_rounds, next_round

CELLS = ["a", "b", "c"]
RULE = {"rounds": 3, "precision": 0.05, "max_rounds": 12}


class Cells:
    """Cells with a spread on the log scale; `seen` are round, place and cell of every block."""

    def __init__(self, spread: float = 0.05, ends_after: int = 10_000) -> None:
        self.seen: list[tuple[int, int, str]] = []
        self._spread = spread
        self._ends_after = ends_after

    def measure(self, cell: str, number: int, place: int) -> Measured:
        if len(self.seen) == self._ends_after:
            raise KeyboardInterrupt
        self.seen.append((number, place, cell))
        noise = np.random.default_rng([number, ord(cell)]).normal(0, self._spread)
        row: dict[str, Any] = {name: "" if dtype == "str" else 0 for name, dtype in BLOCK_COLUMNS.items()}
        row |= {"configuration": cell, "scenario": "s", "round": number, "outcome": "measured"}
        requests = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in REQUEST_COLUMNS.items()})
        return [requests], [row | {"latency_p50_s": 0.01 * float(np.exp(noise))}]


def run(root: Path, cells: Cells, **changes: Any) -> pd.DataFrame:
    journal = Journal(root, "s-m", "digest")
    measure_rounds(CELLS, settings(**changes), journal, cells.measure)
    assert next_round(settings(**changes), journal) is None
    journal.deliver(root / "out")
    return pd.read_parquet(root / "out" / BLOCKS)


def test_without_a_rule_there_are_as_many_rounds_as_asked_for(tmp_path: Path) -> None:
    cells = Cells()
    blocks = run(tmp_path, cells, rounds=4)
    assert sorted(set(blocks["round"])) == [0, 1, 2, 3]
    assert set(blocks.columns) == set(BLOCK_COLUMNS)
    assert len({tuple(cell for number, _, cell in cells.seen if number == wanted) for wanted in range(4)}) > 1


def test_rounds_go_on_until_every_cell_is_known_well_enough(tmp_path: Path) -> None:
    blocks = run(tmp_path, Cells(), **RULE)
    count = blocks["round"].nunique()
    assert 3 < count < 12
    assert widest(blocks) <= 0.05
    assert all(widest(blocks[blocks["round"] < fewer]) > 0.05 for fewer in range(3, count))
    assert rule_of(blocks) == RoundsRule(precision=0.05, least_rounds=3, max_rounds=12)


def test_there_are_at_least_and_at_most_so_many(tmp_path: Path) -> None:
    assert run(tmp_path / "narrow", Cells(spread=0.0001), **RULE)["round"].nunique() == 3
    wide = run(tmp_path / "wide", Cells(spread=1.0), **RULE)
    assert wide["round"].nunique() == 12
    assert widest(wide) > 0.05


def test_a_killed_run_goes_on_to_the_rounds_of_one_that_was_not(tmp_path: Path) -> None:
    whole, killed, resumed = Cells(), Cells(ends_after=3 * 3 + 1), Cells()
    blocks = run(tmp_path / "whole", whole, **RULE)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed, **RULE)
    again = run(tmp_path / "killed", resumed, **RULE)
    pd.testing.assert_frame_equal(again, blocks)
    assert killed.seen[:9] + resumed.seen == whole.seen
