"""An encoder small enough to compile in a test: one layer of attention, five products with weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from inferlab.models.base import Model, TensorSpec
from inferlab.models.structure import save_module
from inferlab.optimize.export import export_program
from inferlab.targets.source import PROGRAM_FILE

TOKENS, FEATURES, HEADS = 16, 32, 2


class TinyEncoderNetwork(nn.Module):
    """Features float32 [batch, 16, 32] -> logits [batch, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(FEATURES, FEATURES)
        self.key = nn.Linear(FEATURES, FEATURES)
        self.value = nn.Linear(FEATURES, FEATURES)
        self.output = nn.Linear(FEATURES, FEATURES)
        self.norm = nn.LayerNorm(FEATURES)
        self.classifier = nn.Linear(FEATURES, 4)

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (self._heads(part(features)) for part in (self.query, self.key, self.value))
        attended = functional.scaled_dot_product_attention(query, key, value)
        mixed = functional.gelu(self.norm(features + self.output(attended.transpose(1, 2).flatten(2))))
        logits: Tensor = self.classifier(mixed.mean(dim=1))
        return logits

    def _heads(self, features: Tensor) -> Tensor:
        return features.view(features.shape[0], TOKENS, HEADS, FEATURES // HEADS).transpose(1, 2)


class TinyEncoder(Model):
    """The row of params.yaml that there is none of."""

    quality_metric: ClassVar[Literal["accuracy"] | None] = None

    name: str = "tiny-encoder"
    family: str = "tiny-encoder"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="features", dtype="float32", shape=(TOKENS, FEATURES)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="logits", dtype="float32", shape=(4,)),)

    def architecture(self) -> nn.Module:
        return TinyEncoderNetwork().eval()

    def pretrained(self) -> nn.Module:
        torch.manual_seed(0)
        return self.architecture()

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return raw

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        return {"features": np.random.default_rng(seed).standard_normal((count, TOKENS, FEATURES), dtype=np.float32)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return raw

    def plain_body(self) -> type[BaseModel]:
        raise NotImplementedError

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        raise NotImplementedError

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        raise NotImplementedError


def write_encoder(model: Model, folder: Path) -> None:
    """What the optimize stage leaves: weights, structure, program, calibration tensors."""
    folder.mkdir(parents=True)
    module = model.pretrained()
    save_module(module, folder)
    example = tuple(torch.from_numpy(array) for array in model.example_samples(2, seed=0).values())
    export_program(module, tuple(spec.name for spec in model.inputs), example, folder / PROGRAM_FILE)
    np.savez(folder / "calibration.npz", **model.example_samples(16, seed=1))  # type: ignore[arg-type]
