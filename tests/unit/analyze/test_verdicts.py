import dataclasses
import math

import numpy as np
import pytest

from inferlab.analyze.statistics import PairedRatio, ratios_of
from inferlab.analyze.verdicts import Compared, judge, more_rounds, noise_floor, verdict_of


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


def shown(mean: float, p_value: float) -> PairedRatio:
    return dataclasses.replace(ratio(mean, 0.02), p_value=p_value)


TWIN = ratio(0.0, 0.01)


def test_a_family_is_corrected_together() -> None:
    alone = judge([Compared(shown(0.2, 0.03), TWIN, higher_is_better=True)], 0.95)
    assert [one.verdict for one in alone] == ["better"]
    family = [Compared(shown(0.2, 0.03), TWIN, higher_is_better=True)] * 2
    assert [(one.verdict, one.p_adjusted) for one in judge(family, 0.95)] == [("tie", 0.06)] * 2
    assert judge([], 0.95) == []


def test_without_a_twin_or_a_p_value_there_is_no_verdict() -> None:
    found = judge([Compared(shown(0.2, 0.001), None, True), Compared(shown(0.2, math.nan), TWIN, True)], 0.95)
    assert [one.verdict for one in found] == ["", ""]
    assert math.isnan(found[0].noise_floor)
    assert math.isnan(found[1].p_adjusted)
    assert [one.more_rounds for one in found] == [None, None]


def test_what_is_within_the_resolution_is_a_tie_that_no_rounds_separate() -> None:
    coarse, fine = judge(
        [Compared(shown(0.2, 0.001), TWIN, True, resolution=0.3), Compared(shown(0.2, 0.4), TWIN, True)], 0.95
    )
    assert (coarse.verdict, coarse.more_rounds) == ("tie", None)
    assert fine.verdict == "tie"
    assert fine.more_rounds is not None
