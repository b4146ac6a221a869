import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from inferlab.models.token_ids import TokenIdsBody, decode_token_ids


@given(ids=st.lists(st.integers(0, 99), min_size=1, max_size=12))
def test_ids_are_padded_to_the_sequence_length(ids: list[int]) -> None:
    decoded = decode_token_ids(TokenIdsBody(input_ids=ids), 12, 100)
    assert decoded.dtype == np.int64
    assert decoded[0, : len(ids)].tolist() == ids
    assert not decoded[0, len(ids) :].any()
    assert decoded.shape == (1, 12)


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ([], "input_ids: 0 ids are not allowed; allowed: 1 to 12"),
        ([1] * 13, "input_ids: 13 ids are not allowed; allowed: 1 to 12"),
        ([1, 100], "input_ids: 100 is not allowed; allowed: 0 to 99"),
        ([-1], "input_ids: -1 is not allowed"),
    ],
)
def test_wrong_ids_are_named(ids: list[int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decode_token_ids(TokenIdsBody(input_ids=ids), 12, 100)


def test_another_body_is_a_mistake_of_the_caller() -> None:
    class Other(BaseModel):
        input_ids: list[int]

    with pytest.raises(TypeError, match="expected a TokenIdsBody, got a Other"):
        decode_token_ids(Other(input_ids=[1]), 12, 100)
