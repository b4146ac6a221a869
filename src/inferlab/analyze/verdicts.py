"""What a difference is called, and how many more rounds a tie would take."""

import math

import numpy as np

from inferlab.analyze.statistics import PairedRatio, rounds_needed, rounds_until_narrow

POWER = 0.8
"""Power at which more rounds would separate the difference that was seen."""


def noise_floor(twin: PairedRatio) -> float:
    """The largest deviation from a ratio of one that the A/A twin's interval still holds, as a log ratio; else NaN."""
    bounds = (twin.low, twin.high, twin.median)
    return max(abs(math.log(bound)) for bound in bounds) if all(bound > 0 for bound in bounds) else math.nan


def verdict_of(log_ratio: float, p_adjusted: float, floor: float, *, higher_is_better: bool, alpha: float) -> str:
    """`better` or `worse` where Holm's p is below `alpha` and the ratio lies beyond the noise floor, else `tie`."""
    if abs(log_ratio) <= floor or not p_adjusted < alpha:
        return "tie"
    return "better" if (log_ratio > 0) == higher_is_better else "worse"


def alpha_of_step(p_adjusted: np.ndarray, alpha: float) -> float:
    """The level of Holm's step that the first comparison which is no difference missed; missing p-values are none."""
    return alpha / max(int((p_adjusted >= alpha).sum()), 1)


def more_rounds(found: PairedRatio, twin: PairedRatio | None, alpha: float, confidence: float) -> int | None:
    """Further rounds at which a difference as seen is significant at `alpha` with POWER and beyond the noise floor.

    Rounds that follow count for as many independent ones as those so far. None where no number of rounds does it: there
    is no difference, or the twin's own is as large.
    """
    difference = abs(found.log_mean)
    needed = rounds_needed(difference, found.log_sd, alpha, POWER)
    if needed is None:
        return None
    if twin is not None:
        twins_own = max(abs(twin.log_mean), abs(math.log(twin.median)))
        for_floor = rounds_until_narrow(twin.log_sd, difference - twins_own, confidence)
        if for_floor is None:
            return None
        needed = max(needed, for_floor)
    return max(math.ceil(needed * found.rounds / found.effective_rounds) - found.rounds, 1)
