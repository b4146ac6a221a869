"""The model that does nothing, for measuring what everything around a model costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel

from inferlab.errors import Unsupported
from inferlab.models.base import MODELS, Model, TensorSpec
from inferlab.models.token_ids import TokenIdsBody, decode_token_ids

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SEQUENCE_LENGTH = 128
EMBEDDING_SIZE = 384
VOCABULARY_SIZE = 30522
"""The sizes of `minilm`, so that bytes on the wire compare."""


class EmbeddingAnswer(BaseModel):
    """What the ordinary handler answers."""

    embedding: list[float]


@MODELS.register("noop")
class Noop(Model):
    """Takes token ids, gives an embedding of zeroes."""

    quality_metric: ClassVar[Literal["accuracy"] | None] = None

    family: Literal["noop"]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="input_ids", dtype="int64", shape=(SEQUENCE_LENGTH,)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="embedding", dtype="float32", shape=(EMBEDDING_SIZE,)),)

    @property
    def optimizations_refused(self) -> dict[str, str]:
        return {
            "calibrate": "noop has no weights to quantize",
            "prune": "noop has no weights to prune",
            "sparsify": "noop has no weights to zero",
            "finetune": "noop has no weights to fit",
        }

    def architecture(self) -> nn.Module:
        from inferlab.models.networks.noop import ConstantEmbedding

        return ConstantEmbedding(EMBEDDING_SIZE).eval()

    def pretrained(self) -> nn.Module:
        return self.architecture()

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return raw

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        import numpy as np

        shape = (count, SEQUENCE_LENGTH)
        return {"input_ids": np.random.default_rng(seed).integers(1, VOCABULARY_SIZE, shape, dtype=np.int32)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Stored token ids int32 [batch, 128] -> int64."""
        return {"input_ids": raw["input_ids"].astype("int64")}

    def predictions(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        raise Unsupported("noop predicts nothing")

    def plain_body(self) -> type[BaseModel]:
        return TokenIdsBody

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"input_ids": inputs["input_ids"][0].tolist()}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        return {"input_ids": decode_token_ids(body, SEQUENCE_LENGTH, VOCABULARY_SIZE)}

    def predict_answer(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"embedding": outputs["embedding"][0]}

    def plain_answer(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"embedding": outputs["embedding"][0].tolist()}

    def plain_response(self) -> type[BaseModel]:
        return EmbeddingAnswer
