import numpy as np
import pytest
from scipy.stats import chisquare

from inferlab.load.popularity import DRAWS, picks
from inferlab.records import PayloadMix


def test_payloads_are_sent_in_turn() -> None:
    pick = picks(3, None, seed=1)
    assert [pick(number) for number in range(7)] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.5])
def test_draws_follow_zipfs_law(exponent: float) -> None:
    pick = picks(20, exponent, seed=3)
    counts = np.bincount([pick(number) for number in range(DRAWS)], minlength=20)
    weights = np.array([rank**-exponent for rank in range(1, 21)])
    assert chisquare(counts, DRAWS * weights[::-1] / weights.sum()).pvalue > 0.001
    assert PayloadMix(distinct=20, zipf_exponent=exponent).probabilities() == pytest.approx(weights / weights.sum())


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    first, again, other = ([picks(9, 1.0, seed)(number) for number in range(50)] for seed in (5, 5, 6))
    assert first == again != other
