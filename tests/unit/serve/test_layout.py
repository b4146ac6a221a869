import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferlab.models.base import TensorSpec
from inferlab.serve.layout import ALIGNMENT_BYTES, Layout

specs = st.lists(
    st.tuples(
        st.sampled_from(["bool", "uint8", "int32", "int64", "float16", "float32"]),
        st.lists(st.integers(1, 5), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=4,
)


@given(specs, specs, st.integers(1, 9))
def test_every_tensor_has_its_own_aligned_memory_that_both_sides_see(
    inputs: list[tuple[str, tuple[int, ...]]], outputs: list[tuple[str, tuple[int, ...]]], items: int
) -> None:
    named = [TensorSpec(name=f"t{n}", dtype=dtype, shape=shape) for n, (dtype, shape) in enumerate(inputs + outputs)]
    layout = Layout.of(named[: len(inputs)], named[len(inputs) :], items)
    descriptor = layout.create()
    try:
        here, there = layout.tensors(descriptor), layout.tensors(descriptor)
        values = {}
        for number, (name, place) in enumerate({**here[0], **here[1]}.items()):
            values[name] = np.full(place.shape, number % 2, place.dtype)
            place[:] = values[name]
        found = {**there[0], **there[1]}
        assert list(there[0]) == [spec.name for spec in named[: len(inputs)]]
        for spec in named:
            assert found[spec.name].shape == (items, *spec.shape)
            assert found[spec.name].dtype == spec.dtype
            assert (found[spec.name] == values[spec.name]).all()
            assert found[spec.name].ctypes.data % ALIGNMENT_BYTES == 0
            assert found[spec.name].flags.writeable
    finally:
        os.close(descriptor)
