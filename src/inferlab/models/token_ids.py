"""Token ids in an ordinary handler's JSON body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np

PADDING_ID = 0


class TokenIdsBody(BaseModel):
    """The ids of one text, up to the model's sequence length; shorter ones are padded."""

    model_config = ConfigDict(extra="forbid")

    input_ids: list[int]


def decode_token_ids(body: BaseModel, sequence_length: int, vocabulary_size: int) -> np.ndarray:
    """A body's ids as int64 [1, sequence_length], padded. Raises ValueError naming the field."""
    import numpy as np

    if not isinstance(body, TokenIdsBody):
        raise TypeError(f"expected a TokenIdsBody, got a {type(body).__name__}")
    count = len(body.input_ids)
    if not 1 <= count <= sequence_length:
        raise ValueError(f"input_ids: {count} ids are not allowed; allowed: 1 to {sequence_length}")
    wrong = [token for token in body.input_ids if not 0 <= token < vocabulary_size]
    if wrong:
        raise ValueError(f"input_ids: {wrong[0]} is not allowed; allowed: 0 to {vocabulary_size - 1}")
    padded = np.full((1, sequence_length), PADDING_ID, dtype=np.int64)
    padded[0, :count] = body.input_ids
    return padded
