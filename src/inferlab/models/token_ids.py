"""Token ids in an ordinary handler's JSON body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import numpy as np

PADDING_ID = 0
TokenIds = Annotated[list[int], Field(max_length=4096, fail_fast=True)]
"""Longer than any sequence length here; the first wrong one is enough to refuse them all."""
MAX_TEXT_LENGTH = 20_000
"""Characters; many times what any sequence length here takes."""


class TokenIdsBody(BaseModel):
    """The ids of one text, up to the model's sequence length; shorter ones are padded."""

    model_config = ConfigDict(extra="forbid")

    input_ids: TokenIds


class TextBody(BaseModel):
    """One text, or its token ids."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT_LENGTH)
    input_ids: TokenIds | None = Field(default=None, description="instead of text, as the model's tokenizer gives them")

    @model_validator(mode="after")
    def _one_of_both(self) -> TextBody:
        if (self.text is None) == (self.input_ids is None):
            raise ValueError("text: exactly one of text and input_ids is expected")
        return self


def decode_token_ids(body: BaseModel, sequence_length: int, vocabulary_size: int) -> np.ndarray:
    """A body's ids as int64 [1, sequence_length], padded. Raises ValueError naming the field."""
    import numpy as np

    if not isinstance(body, TokenIdsBody):
        raise TypeError(f"expected a TokenIdsBody, got a {type(body).__name__}")
    count = len(body.input_ids)
    if not 1 <= count <= sequence_length:
        raise ValueError(f"input_ids: {count} ids are not allowed; allowed: 1 to {sequence_length}")
    low, high = min(body.input_ids), max(body.input_ids)
    if low < 0 or high >= vocabulary_size:
        wrong = low if low < 0 else high
        found = wrong if abs(wrong) < 2**63 else "a number of more than 64 bits"
        raise ValueError(f"input_ids: {found} is not allowed; allowed: 0 to {vocabulary_size - 1}")
    padded = np.full((1, sequence_length), PADDING_ID, dtype=np.int64)
    padded[0, :count] = body.input_ids
    return padded
