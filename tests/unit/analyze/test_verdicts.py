import math

import numpy as np
import pytest

from inferlab.analyze.statistics import PairedRatio, ratios_of
from inferlab.analyze.verdicts import more_rounds, noise_floor, verdict_of


def ratio(mean: float, sd: float, rounds: int = 10, effective: float = 10.0) -> PairedRatio:
    return PairedRatio(
        ratio=math.exp(mean),
        low=math.exp(mean - sd),
        high=math.exp(mean + sd),
        median=math.exp(mean),
        log_mean=mean,
        log_sd=sd,
        p_value=0.5,
        rounds=rounds,
        effective_rounds=effective,
    )


@pytest.mark.parametrize(
    ("of", "p_adjusted", "floor", "higher_is_better", "verdict"),
    [
        (1.2, 0.01, 0.05, True, "better"),
        (1.2, 0.01, 0.05, False, "worse"),
        (0.8, 0.01, 0.05, False, "better"),
        (0.8, 0.01, 0.05, True, "worse"),
        (1.2, 0.05, 0.05, True, "tie"),
        (1.2, 0.01, 0.2, True, "tie"),
    ],
)
def test_a_difference_is_significant_and_beyond_the_floor(
    of: float, p_adjusted: float, floor: float, higher_is_better: bool, verdict: str
) -> None:
    assert verdict_of(math.log(of), p_adjusted, floor, higher_is_better=higher_is_better, alpha=0.05) == verdict


def test_the_floor_is_the_far_end_of_the_twins_interval() -> None:
    assert noise_floor(ratio(0.01, 0.02)) == pytest.approx(0.03)
    assert noise_floor(ratio(-0.01, 0.02)) == pytest.approx(0.03)
    assert math.isnan(noise_floor(ratios_of([np.array([])], 0.95)[0]))


def test_rounds_that_depend_on_each_other_are_needed_in_larger_numbers() -> None:
    independent = more_rounds(ratio(0.03, 0.06), None, 0.05, 0.95)
    dependent = more_rounds(ratio(0.03, 0.06, effective=2.5), None, 0.05, 0.95)
    assert independent is not None and dependent is not None
    assert dependent + 10 == pytest.approx(4 * (independent + 10), abs=4)


def test_the_twins_own_difference_is_not_cured_by_more_rounds() -> None:
    assert more_rounds(ratio(0.03, 0.06), ratio(0.03, 0.02), 0.05, 0.95) is None
    wide = more_rounds(ratio(0.03, 0.01), ratio(0.0, 0.2), 0.05, 0.95)
    alone = more_rounds(ratio(0.03, 0.01), None, 0.05, 0.95)
    assert alone == 1
    assert wide is not None and wide > 100


def test_no_difference_needs_no_number_of_rounds() -> None:
    assert more_rounds(ratio(0.0, 0.1), None, 0.05, 0.95) is None
