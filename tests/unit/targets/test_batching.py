import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.targets.batching import compiled_size, padded, sizes_up_to

SIZES = st.lists(st.integers(1, 64), min_size=1, unique=True)


@given(sizes=SIZES, batch=st.integers(1, 64))
def test_the_smallest_size_that_holds_the_batch(sizes: list[int], batch: int) -> None:
    if batch > max(sizes):
        with pytest.raises(ValueError, match=f"a batch of {batch} is not allowed; allowed: 1 to {max(sizes)}"):
            compiled_size(sizes, batch)
    else:
        size = compiled_size(sizes, batch)
        assert size in sizes
        assert not [other for other in sizes if batch <= other < size]


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 0 is not allowed"):
        compiled_size([1, 2], 0)


@given(sizes=SIZES, data=st.data())
def test_sizes_up_to_serve_every_batch_as_all_sizes_would(sizes: list[int], data: st.DataObject) -> None:
    largest = data.draw(st.integers(1, max(sizes)))
    kept = sizes_up_to(sizes, largest)
    assert set(kept) <= set(sizes)
    assert all(compiled_size(kept, batch) == compiled_size(sizes, batch) for batch in range(1, largest + 1))


def test_padding_repeats_the_last_item() -> None:
    array = np.array([[1, 2], [3, 4]])
    assert padded(array, 4).tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]
    assert padded(array, 2) is array
