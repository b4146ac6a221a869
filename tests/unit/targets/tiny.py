"""A model small enough to compile in a test: one convolution, one linear layer, four labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from inferlab.data.base import Samples
from inferlab.models.base import Model, TensorSpec
from inferlab.models.structure import save_module
from inferlab.records import OptimizationRecord, Precision

SIZE_PX = 8
LABELS = ("a", "b", "c", "d")


class TinyNetwork(nn.Module):
    """Pictures float32 [batch, 3, 8, 8] -> logits [batch, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.classifier = nn.Linear(8, len(LABELS))

    def forward(self, picture: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.relu(self.conv(picture)).mean(dim=(2, 3)))
        return logits


class TinyModel(Model):
    """The row of params.yaml that there is none of."""

    quality_metric: ClassVar[Literal["accuracy"] | None] = "accuracy"
    data_kind: ClassVar[Literal["picture", "text"] | None] = "picture"

    name: str = "tiny"
    family: str = "tiny"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="picture", dtype="float32", shape=(3, SIZE_PX, SIZE_PX)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="logits", dtype="float32", shape=(len(LABELS),)),)

    @property
    def labels(self) -> tuple[str, ...]:
        return LABELS

    def architecture(self) -> nn.Module:
        return TinyNetwork().eval()

    def pretrained(self) -> nn.Module:
        torch.manual_seed(0)
        return self.architecture()

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return raw

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        shape = (count, 3, SIZE_PX, SIZE_PX)
        return {"picture": np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"picture": raw["picture"].astype(np.float32) / 64 - 2}

    def plain_body(self) -> type[BaseModel]:
        raise NotImplementedError

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        raise NotImplementedError

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        raise NotImplementedError


class Unlabelled(TinyModel):
    """As `noop`: nothing to measure quality with."""

    quality_metric: ClassVar[Literal["accuracy"] | None] = None


def write_optimized(model: Model, folder: Path) -> None:
    """What the optimize stage leaves: weights, structure, program, calibration tensors."""
    folder.mkdir(parents=True)
    module = model.pretrained()
    save_module(module, folder)
    example = tuple(torch.from_numpy(array) for array in model.preprocess(model.example_samples(2, seed=0)).values())
    dynamic = tuple({0: torch.export.Dim.AUTO} for _ in example)
    torch.export.save(torch.export.export(module, example, dynamic_shapes=dynamic), folder / "program.pt2")
    np.savez(folder / "calibration.npz", **model.preprocess(model.example_samples(16, seed=1)))  # type: ignore[arg-type]


def write_prepared(model: Model, folder: Path, count: int) -> Samples:
    """Evaluation samples labelled by the module itself, so that a faithful artifact gets them all right."""
    raw = model.example_samples(count, seed=2)
    samples = Samples(raw, expected(model, model.preprocess(raw)).argmax(axis=1))
    samples.write(folder / "evaluation.npz")
    return samples


def expected(model: Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The module's own output."""
    with torch.inference_mode():
        outputs: np.ndarray = model.pretrained()(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    return outputs


def optimized(precision: Precision = "fp32", **changes: Any) -> OptimizationRecord:
    """The record of an optimization of `tiny`."""
    fields = {"model": "tiny", "optimization": precision, "precision": precision, "outcome": "measured"}
    return OptimizationRecord.model_validate({**fields, **changes})
