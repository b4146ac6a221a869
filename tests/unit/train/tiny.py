"""A model and samples small enough to train in a blink: grey pictures whose left or right half is brighter."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from inferlab.data.base import DatasetOptions, Samples, Splits
from inferlab.models.base import FitOptions, Model, PruningHints, TensorSpec
from inferlab.records import Frozen

SIZE_PX = 8


class Halves(DatasetOptions):
    kind: ClassVar[Literal["picture", "text"]] = "picture"
    labels: ClassVar[tuple[str, ...]] = ("left", "right")

    def load(self, train_count: int, evaluation_count: int, seed: int) -> Splits:
        train, evaluation = halves(train_count, seed), halves(evaluation_count, seed + 1)
        return Splits(train, evaluation, train.take(slice(0, self.calibration)), {"checked": True})


class TinyNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.narrow = nn.Conv2d(16, 16, 3, padding=1)
        self.classifier = nn.Linear(16 * 4, 2)

    def forward(self, picture: Tensor) -> Tensor:
        features = torch.relu(self.narrow(torch.relu(self.norm(self.conv(picture)))))
        pooled = nn.functional.adaptive_avg_pool2d(features, (1, 4))
        logits: Tensor = self.classifier(pooled.flatten(1))
        return logits


class Body(BaseModel):
    picture: list[float]


class TinyModel(Model):
    data_kind: ClassVar[Literal["picture", "text"] | None] = "picture"
    refused: ClassVar[dict[str, str]] = {}

    family: str = "tiny"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="picture", dtype="float32", shape=(1, SIZE_PX, SIZE_PX)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="logits", dtype="float32", shape=(2,)),)

    def architecture(self) -> nn.Module:
        return TinyNetwork().eval()

    def pretrained(self) -> nn.Module:
        return self.architecture()

    def pruning_hints(self, module: nn.Module) -> PruningHints:
        return PruningHints(kept_whole=[module.get_submodule("classifier")])

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return raw

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        return halves(count, seed).raw

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"picture": raw["picture"][:, None].astype(np.float32) / 255}

    def plain_body(self) -> type[BaseModel]:
        return Body

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"picture": inputs["picture"].ravel().tolist()}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        raise NotImplementedError


def halves(count: int, seed: int) -> Samples:
    """Pictures uint8 [count, 8, 8]; the half that the label names is 100 brighter on average."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    pictures = random.integers(0, 100, (count, SIZE_PX, SIZE_PX))
    for index, label in enumerate(labels):
        pictures[index, :, 4 * label : 4 * label + 4] += 100
    return Samples({"picture": pictures.astype(np.uint8)}, labels)


def fit_options(**changes: Any) -> FitOptions:
    row = {
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.02,
        "weight_decay": 0.01,
        "label_smoothing": 0.0,
        "autocast": "none",
    }
    return FitOptions.model_validate(row).model_copy(update=changes)  # so that tests may go beyond what is allowed


def tiny_model(**changes: Any) -> TinyModel:
    dataset = Halves(name="halves", train=128, test=64, calibration=16)
    options = fit_options()
    return TinyModel(**{"name": "tiny", "dataset": dataset, "fit": options, "finetune": options, **changes})


class FakeData(Frozen):
    train_fraction: float = 1.0
    evaluation_fraction: float = 1.0
    calibration_fraction: float = 1.0


class FakeProfile(Frozen):
    data: FakeData = FakeData()
