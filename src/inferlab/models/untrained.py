"""A known architecture with random weights: it takes the time of the real one, and its answers mean nothing."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel

from inferlab.errors import Unsupported
from inferlab.models.base import Model, TensorSpec

if TYPE_CHECKING:
    import numpy as np

CLASSES = 1000
"""Of ImageNet; as many where an architecture comes without a head."""


class LogitsAnswer(BaseModel):
    """What the ordinary handler answers."""

    logits: list[float]


class Untrained(Model, ABC):
    """A model without data, whose quality is not measured."""

    quality_metric: ClassVar[Literal["accuracy"] | None] = None

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="logits", dtype="float32", shape=(CLASSES,)),)

    @property
    def optimizations_refused(self) -> dict[str, str]:
        return {"finetune": f"{self.name} has random weights and no data to fit them to"}

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return raw

    def predictions(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        raise Unsupported(f"{self.name} has random weights and predicts nothing")

    def predict_answer(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return self.plain_answer(outputs)

    def plain_answer(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"logits": outputs["logits"][0].tolist()}

    def plain_response(self) -> type[BaseModel]:
        return LogitsAnswer
