"""What a difference is called, and how many more rounds a tie would take."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inferlab.analyze.statistics import NAN, PairedRatio, holm, rounds_needed, rounds_until_narrow

POWER = 0.8
"""Power at which more rounds would separate the difference that was seen."""


class Compared(NamedTuple):
    """A ratio to be judged, that of its reference's twin, and by how much it may be off for another reason.

    `resolution` is a log ratio.
    """

    found: PairedRatio
    twin: PairedRatio | None
    higher_is_better: bool
    resolution: float = 0.0


class Judged(NamedTuple):
    """What became of a ratio: `verdict` is blank without a p-value or a noise floor (a log ratio, NaN without a twin).

    `more_rounds` are those that a tie would take, None where none would or it is none.
    """

    p_adjusted: float
    noise_floor: float
    verdict: str
    more_rounds: int | None


def judge(family: Sequence[Compared], confidence: float) -> list[Judged]:
    """Verdicts on the ratios of a family, whose p-values Holm corrects together.

    A difference is one where the adjusted p-value is below 1 - confidence, and the ratio beyond both noise floor and
    resolution.
    """
    alpha = 1 - confidence
    adjusted = holm([one.found.p_value for one in family])
    step = alpha_of_step(adjusted, alpha)
    return [
        _judged(one, p_adjusted, alpha, step, confidence)
        for one, p_adjusted in zip(family, adjusted.tolist(), strict=True)
    ]


def _judged(one: Compared, p_adjusted: float, alpha: float, step: float, confidence: float) -> Judged:
    found, floor = one.found, NAN if one.twin is None else noise_floor(one.twin)
    if math.isnan(floor) or math.isnan(p_adjusted):
        return Judged(p_adjusted, floor, "", None)
    beyond = max(floor, one.resolution)
    verdict = verdict_of(found.log_mean, p_adjusted, beyond, higher_is_better=one.higher_is_better, alpha=alpha)
    if verdict != "tie" or abs(found.log_mean) <= one.resolution:
        return Judged(p_adjusted, floor, verdict, None)
    return Judged(p_adjusted, floor, verdict, more_rounds(found, one.twin, step, confidence))


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
