import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.train.batches import batch_indices


@given(count=st.integers(2, 300), batch_size=st.integers(2, 40), seed=st.integers(0, 5), sort=st.booleans())
def test_each_sample_once_but_for_a_lonely_last_one(count: int, batch_size: int, seed: int, sort: bool) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 128, count) if sort else None
    batches = batch_indices(count, batch_size, random, lengths)
    together = np.concatenate(batches)
    assert len(set(together.tolist())) == len(together)
    assert len(together) == count - (count % batch_size == 1)
    assert max(map(len, batches)) <= batch_size


def test_batches_of_like_length_waste_less_than_random_ones() -> None:
    lengths = np.random.default_rng(0).integers(1, 129, 1024)

    def padded(batches: list[np.ndarray]) -> int:
        return sum(int(lengths[batch].max()) * len(batch) for batch in batches)

    together = padded(batch_indices(1024, 32, np.random.default_rng(1), lengths))
    apart = padded(batch_indices(1024, 32, np.random.default_rng(1)))
    assert together < 0.6 * apart


def test_the_seed_fixes_the_order() -> None:
    first, second, other = (batch_indices(50, 8, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all((one == two).all() for one, two in zip(first, second, strict=True))
    assert np.concatenate(first).tolist() != np.concatenate(other).tolist()


@pytest.mark.parametrize("count", [2, 16, 17])
def test_no_batch_has_one_sample(count: int) -> None:
    assert all(len(batch) > 1 for batch in batch_indices(count, 16, np.random.default_rng(0)))
