import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.data.checks import balanced_choice, class_shares, duplicate_mask, require_shares
from inferlab.errors import DataError


def test_shares_by_name() -> None:
    assert class_shares(np.array([0, 0, 1, 0]), ("a", "b", "c")) == {"a": 0.75, "b": 0.25, "c": 0.0}


def test_an_unbalanced_class_is_named_with_its_share() -> None:
    with pytest.raises(DataError, match=r"train: class 'b' has a share of 0\.25; allowed: 0\.4 to 0\.6"):
        require_shares("train", np.array([1, 1, 1, 0]), ("b", "a"), 0.4, 0.6)


def test_duplicates_of_others_and_of_earlier_samples() -> None:
    samples = np.array([[1, 2], [3, 4], [1, 2], [5, 6]])
    assert duplicate_mask(samples, np.array([[5, 6]])).tolist() == [False, False, True, True]


@given(count=st.integers(1, 60), seed=st.integers(0, 3))
def test_a_balanced_choice_has_equal_classes_up_to_one_and_no_repeats(count: int, seed: int) -> None:
    labels = np.repeat([0, 1, 2], [20, 30, 25])
    chosen = balanced_choice(labels, count, np.random.default_rng(seed), "x")
    assert len(set(chosen.tolist())) == count
    counts = np.bincount(labels[chosen], minlength=3)
    assert counts.max() - counts.min() <= 1


def test_too_few_of_a_class_is_an_error() -> None:
    with pytest.raises(DataError, match="test: 9 samples asked for, but class 1 has only 2"):
        balanced_choice(np.array([0] * 9 + [1] * 2), 9, np.random.default_rng(0), "test")
