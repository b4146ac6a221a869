"""How well the rounds of a study know its latencies, and the rule that ends a study when they know them well enough.

The interval is the t interval of the logarithms of the rounds' p50 latencies, rounds taken as independent. A rule that
looks after every round stops where chance has made the spread small, so that intervals then hold the truth less often
than they say (Anscombe 1953; Chow and Robbins 1965): docs/methodology.md says how often.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from inferlab.records import Frozen

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
CELL = ["configuration", "scenario"]
STOP = "stop_"
"""How the columns of blocks.parquet begin that say by which rule they were measured."""


class RoundsRule(Frozen):
    """Rounds go on from `least_rounds` to `max_rounds` until no cell's half width is above `precision`.

    A cell is a configuration under a scenario; the half width is that of `half_widths`. Every block that was measured
    under a rule has its fields as columns of blocks.parquet, named STOP and the field.
    """

    precision: float
    least_rounds: int
    max_rounds: int

    def is_met(self, blocks: "pd.DataFrame") -> bool:
        """Whether the rounds that these blocks are of are enough."""
        rounds = blocks["round"].nunique()
        return rounds >= self.max_rounds or (rounds >= self.least_rounds and widest(blocks) <= self.precision)

    def columns(self) -> dict[str, float]:
        """Columns of the blocks."""
        return {f"{STOP}{name}": float(value) for name, value in self.model_dump().items()}


def rule_of(blocks: "pd.DataFrame") -> RoundsRule | None:
    """The rule that ended the rounds of one study and model; None where their number was fixed."""
    names = [f"{STOP}{name}" for name in RoundsRule.model_fields]
    if not set(names) <= set(blocks.columns) or blocks.empty or blocks[names].isna().any(axis=None):
        return None
    precision, least_rounds, max_rounds = (float(blocks[name].iloc[0]) for name in names)
    return RoundsRule(precision=precision, least_rounds=int(least_rounds), max_rounds=int(max_rounds))


def half_width(values: np.ndarray) -> np.ndarray:
    """Half the 95 % t interval of the mean over the first axis, [rounds, ...] -> [...]; NaN with fewer than two."""
    from scipy.special import stdtrit

    rounds = len(values)
    if rounds < 2:
        return np.full(values.shape[1:], math.nan)
    width: np.ndarray = stdtrit(rounds - 1, 0.5 + CONFIDENCE / 2) * values.std(axis=0, ddof=1) / math.sqrt(rounds)
    return width


def half_widths(blocks: "pd.DataFrame") -> "pd.Series[float]":
    """By configuration and scenario: `half_width` of the logarithms of the p50 latencies, of one block a round.

    Of several attempts that is the last measured one, as in all tables. NaN where fewer than two rounds have one.
    """
    import pandas as pd

    ordered = blocks.sort_values("attempt")
    measured = ordered[(ordered["outcome"] == "measured") & (ordered["latency_p50_s"] > 0)]
    usable = measured.drop_duplicates([*CELL, "round"], keep="last")
    by_cell = usable.groupby(CELL)["latency_p50_s"]
    widths = {cell: float(half_width(np.log(p50_s.to_numpy()))) for cell, p50_s in by_cell}
    every = blocks[CELL].drop_duplicates().set_index(CELL).index
    return pd.Series({cell: widths.get(cell, math.nan) for cell in every}, dtype=float).rename_axis(CELL)


def widest(blocks: "pd.DataFrame") -> float:
    """The largest of `half_widths`; infinite where a cell has none."""
    return float(half_widths(blocks).fillna(math.inf).max())
