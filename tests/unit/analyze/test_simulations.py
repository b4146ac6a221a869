"""What verdicts and intervals are worth: studies with known truth, judged as `inferlab compare` judges.

A study has 8 configurations, of which the first is the baseline. What is measured is drift, which a round shares, times
an effect of the place inside the round, times noise of its own.
"""

import numpy as np
import pytest

from inferlab.analyze.compare import ratios_to_first, verdicts
from inferlab.analyze.statistics import PairedRatio
from inferlab.measure.precision import half_width

STUDIES = 2000
CONFIGURATIONS = 8
CONFIDENCE = 0.95
DRIFT, DRIFT_CORRELATION = 0.10, 0.9
SLOT = 0.02
NOISE = 0.03
OUTLIERS, OUTLIER = 0.02, 5.0
DIFFERENCE = 1.05

PRECISION, MOST_ROUNDS = 0.02, 40
"""Of the rule that ends a study; noise of 3 % needs about 11 rounds for it."""

Judged = list[tuple[list[PairedRatio], list[str]]]


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], coefficient: float, sd: float) -> np.ndarray:
    """Stationary AR(1) along axis 1 with standard deviation `sd`."""
    steps = rng.normal(0.0, 1.0, shape)
    values = np.empty(shape)
    values[:, 0] = steps[:, 0]
    for place in range(1, shape[1]):
        values[:, place] = coefficient * values[:, place - 1] + np.sqrt(1 - coefficient**2) * steps[:, place]
    return sd * values


def studies(rounds: int, seed: int, noise_correlation: float = 0.0, outliers: float = 0.0) -> np.ndarray:
    """Logarithms of studies without a true difference, [studies, rounds, configurations]."""
    rng = np.random.default_rng(seed)
    shape = (STUDIES, rounds, CONFIGURATIONS)
    drift = autoregressive(rng, (STUDIES, rounds, 1), DRIFT_CORRELATION, DRIFT)
    place = rng.normal(0.0, SLOT, (STUDIES, 1, CONFIGURATIONS))  # each study has its own effect of the place
    order = rng.random(shape).argsort(axis=2)
    slot = np.take_along_axis(np.broadcast_to(place, shape), order, axis=2)
    noise = autoregressive(rng, shape, noise_correlation, NOISE)
    stalls = np.where(rng.random(shape) < outliers, np.log(OUTLIER), 0.0)
    return drift + slot + noise + stalls


def judged(logs: np.ndarray | list[np.ndarray]) -> Judged:
    """Ratios and verdicts of each study."""
    found = []
    for study in logs:
        _, ratios = ratios_to_first(study, CONFIDENCE)
        found.append((ratios, [verdict for _, verdict in verdicts(ratios, None, False, CONFIDENCE)]))
    return found


def false_share(found: Judged) -> float:
    """Studies with any verdict but a tie, where there is no difference."""
    return float(np.mean([any(verdict != "tie" for verdict in names) for _, names in found]))


def coverage(found: Judged, ratio: float = 1.0) -> float:
    """Intervals that hold the true ratio."""
    return float(np.mean([one.low <= ratio <= one.high for ratios, _ in found for one in ratios]))


def test_false_verdicts_and_coverage_of_ten_rounds() -> None:
    found = judged(studies(10, seed=1))
    assert false_share(found) <= 0.05
    assert 0.93 <= coverage(found) <= 0.97


def test_a_difference_of_five_percent_is_found_in_twenty_rounds() -> None:
    logs = studies(20, seed=2)
    logs[:, :, 3] += np.log(DIFFERENCE)
    found = judged(logs)
    assert np.mean([names[2] == "worse" for _, names in found]) >= 0.9
    different = [(ratios[2:3], names[2:3]) for ratios, names in found]
    assert 0.93 <= coverage(different, DIFFERENCE) <= 0.97
    others = [(ratios[:2] + ratios[3:], names[:2] + names[3:]) for ratios, names in found]
    assert false_share(others) <= 0.05


@pytest.mark.parametrize("rounds", [10, 20])
def test_rounds_that_depend_on_each_other_count_for_fewer(rounds: int) -> None:
    found = judged(studies(rounds, seed=3, noise_correlation=0.6))
    assert false_share(found) <= 0.10
    assert np.median([ratios[0].effective_rounds for ratios, _ in found]) < 0.6 * rounds


def test_heavy_tails_make_few_false_verdicts() -> None:
    assert false_share(judged(studies(10, seed=4, outliers=OUTLIERS))) <= 0.06


@pytest.mark.parametrize("rounds", [3, 10])
def test_a_configuration_that_scatters_more_than_the_others_is_not_taken_for_one_of_them(rounds: int) -> None:
    noise = np.full(CONFIGURATIONS, 0.01)
    noise[4] = 0.10
    found = judged(np.random.default_rng(5).normal(0.0, noise, (STUDIES, rounds, CONFIGURATIONS)))
    assert false_share(found) <= 0.06  # of 5 % and 0.5 % standard error of the simulation
    assert 0.93 <= coverage([(ratios[3:4], names) for ratios, names in found]) <= 0.97


def stopped(logs: np.ndarray, least: int, precision: float) -> list[np.ndarray]:
    """Of each study, [rounds, configurations], the rounds until the rule of measure/precision.py ended it."""
    ended = np.full(len(logs), logs.shape[1])
    for rounds in range(logs.shape[1] - 1, least - 1, -1):
        widths = half_width(logs[:, :rounds].swapaxes(0, 1)).max(axis=1)
        ended[widths <= precision] = rounds
    return [study[:rounds] for study, rounds in zip(logs, ended, strict=True)]


def level_coverage(found: list[np.ndarray]) -> float:
    """Intervals of single configurations, rounds taken as independent, that hold the true level of 0."""
    return float(np.mean([np.abs(study.mean(axis=0)) <= half_width(study) for study in found]))


@pytest.mark.parametrize(
    ("configurations", "least", "low", "high"), [(1, 3, 0.89, 0.93), (1, 10, 0.93, 0.96), (8, 3, 0.93, 0.96)]
)
def test_a_rule_that_ends_a_study_costs_coverage(configurations: int, least: int, low: float, high: float) -> None:
    """One configuration alone after three rounds most of all; where all of eight must be precise, chance has no say."""
    logs = np.random.default_rng(6).normal(0.0, NOISE, (2 * STUDIES, MOST_ROUNDS, configurations))
    found = stopped(logs, least, PRECISION)
    assert np.mean([len(study) == MOST_ROUNDS for study in found]) < 0.01
    assert low <= level_coverage(found) <= high


def test_a_rule_that_ends_a_study_makes_no_false_verdicts() -> None:
    """The rule looks at levels, which drift moves most, and verdicts at ratios, in which drift cancels."""
    logs = studies(MOST_ROUNDS, seed=7)
    found = judged(stopped(logs, 5, 0.06))
    assert false_share(found) <= 0.06
    assert 0.93 <= coverage(found) <= 0.97
