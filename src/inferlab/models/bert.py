"""BERT-base with random weights: the shapes that engines for CPUs are compared on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from inferlab.models.base import MODELS, TensorSpec
from inferlab.models.token_ids import PADDING_ID, TokenIdsBody, decode_token_ids
from inferlab.models.untrained import CLASSES, Untrained

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

VOCABULARY_SIZE = 30522
SEED = 0


@MODELS.register("bert")
class Bert(Untrained):
    """Takes token ids and their mask, gives logits. Texts fill the whole sequence, so that every item is equal work."""

    family: Literal["bert"]
    sequence_length: int = Field(ge=8, le=512)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        shape = (self.sequence_length,)
        return tuple(TensorSpec(name=name, dtype="int64", shape=shape) for name in ("input_ids", "attention_mask"))

    def architecture(self) -> nn.Module:
        from inferlab.models.networks.minilm import BERT_BASE, MiniLMClassifier

        return MiniLMClassifier(CLASSES, BERT_BASE).eval()

    def pretrained(self) -> nn.Module:
        """With PyTorch's own initial weights, drawn with a fixed seed."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            return self.architecture()

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        import numpy as np

        shape = (count, self.sequence_length)
        return {"input_ids": np.random.default_rng(seed).integers(1, VOCABULARY_SIZE, shape, dtype=np.int32)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Token ids int32 [batch, tokens] -> ids and mask int64 [batch, tokens]."""
        token_ids = raw["input_ids"].astype("int64")
        return {"input_ids": token_ids, "attention_mask": (token_ids != PADDING_ID).astype("int64")}

    def plain_body(self) -> type[BaseModel]:
        return TokenIdsBody

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"input_ids": inputs["input_ids"][0].tolist()}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        return self.preprocess({"input_ids": decode_token_ids(body, self.sequence_length, VOCABULARY_SIZE)})
