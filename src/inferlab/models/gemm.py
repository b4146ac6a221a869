"""Matrix products and little else: what a device reaches at its best, for the rates of other models to stand beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from inferlab.models.base import MODELS, TensorSpec
from inferlab.models.token_ids import TokenIdsBody, decode_token_ids
from inferlab.models.untrained import CLASSES, Untrained

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

VOCABULARY_SIZE = 512
SEED = 0


@MODELS.register("gemm")
class Gemm(Untrained):
    """Takes ids of rows, gives logits."""

    family: Literal["gemm"]
    rows: int = Field(ge=1, le=4096)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="input_ids", dtype="int64", shape=(self.rows,)),)

    def architecture(self) -> nn.Module:
        from inferlab.models.networks.gemm import ProductChain

        return ProductChain(VOCABULARY_SIZE, CLASSES).eval()

    def pretrained(self) -> nn.Module:
        """With random weights, drawn with a fixed seed."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            return self.architecture()

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        import numpy as np

        shape = (count, self.rows)
        return {"input_ids": np.random.default_rng(seed).integers(0, VOCABULARY_SIZE, shape, dtype=np.int32)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Ids int32 [batch, rows] -> int64."""
        return {"input_ids": raw["input_ids"].astype("int64")}

    def plain_body(self) -> type[BaseModel]:
        return TokenIdsBody

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"input_ids": inputs["input_ids"][0].tolist()}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        return {"input_ids": decode_token_ids(body, self.rows, VOCABULARY_SIZE)}
