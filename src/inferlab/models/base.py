"""What a model is: how it is built, its real weights, what goes in and out, its labelled data and quality metric."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, Field, PositiveInt, SerializeAsAny, field_validator

from inferlab.data.base import DATASETS, DatasetOptions
from inferlab.errors import Unsupported
from inferlab.records import Frozen
from inferlab.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

EXAMPLE_COUNT = 256
"""Random samples that stand for evaluation data where a model has none, as payloads of requests."""


class TensorSpec(Frozen):
    """One tensor of a model, without its batch dimension; `dtype` is numpy's name."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class FitOptions(Frozen):
    """How weights are fitted: AdamW under a one-cycle schedule."""

    epochs: float = Field(gt=0, le=1000, description="part of one shows the module that share of the batches")
    batch_size: PositiveInt
    learning_rate: float = Field(gt=0, le=1, description="the peak of the one-cycle schedule")
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    autocast: Literal["none", "bf16"] = Field(description="bf16 takes effect where the CPU multiplies it natively")


class LabelAnswer(BaseModel):
    """What the ordinary handler answers for a classifier."""

    label: str
    logits: list[float]


@dataclass(frozen=True)
class PruningHints:
    """What pruning must know of a module: layers that keep their outputs, and projections cut by whole heads."""

    kept_whole: list[nn.Module]
    heads: dict[nn.Module, int] = field(default_factory=dict)


class Model(Frozen, ABC):
    """A row of params.yaml's `models:`; its key is `name`. A subclass is a family, registered in MODELS by its name."""

    quality_metric: ClassVar[Literal["accuracy"] | None] = "accuracy"
    data_kind: ClassVar[Literal["picture", "text"] | None] = None

    name: str
    family: str
    dataset: SerializeAsAny[DatasetOptions] | None = None
    fit: SerializeAsAny[FitOptions] | None = None
    finetune: SerializeAsAny[FitOptions] | None = None

    @field_validator("dataset", mode="before")
    @classmethod
    def _dataset_of_its_kind(cls, row: Any) -> Any:
        if not isinstance(row, dict) or "name" not in row:
            return row
        # By way of JSON, so that a list stands for a tuple and a string for a path, and nothing else changes its type.
        options = DATASETS.get(row["name"]).model_validate_json(json.dumps(row, default=str), strict=True)
        if options.kind != cls.data_kind:
            raise ValueError(f"data set {options.name!r} has {options.kind}s; this family takes {cls.data_kind}s")
        return options

    @property
    @abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What artifacts take, in the order of the module's forward arguments."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What artifacts give."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, empty where there are none."""
        return self.dataset.labels if self.dataset else ()

    @property
    def optimizations_refused(self) -> dict[str, str]:
        """Kinds of optimization steps that this model cannot take, each with the reason."""
        return {}

    @abstractmethod
    def architecture(self) -> nn.Module:
        """The module with its final head, in eval mode, with weights of no meaning; needs no package of weights."""

    @abstractmethod
    def pretrained(self) -> nn.Module:
        """As `architecture`, with the backbone's weights from their package. Raises MissingPackageError."""

    def pruning_hints(self, module: nn.Module) -> PruningHints:
        """Which parts of `module` pruning may change. Raises Unsupported where there are none."""
        raise Unsupported(f"the family {self.family} does not say which of its layers may be pruned")

    @abstractmethod
    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A data set's raw samples -> compact arrays [samples, ...] that prepare stores."""

    @abstractmethod
    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Random arrays [count, ...] in the form that prepare stores, for what needs inputs but no meaning."""

    @abstractmethod
    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Stored raw samples -> input tensors [batch, ...] by input name."""

    def check_inputs(self, inputs: dict[str, np.ndarray]) -> None:
        """Raise ValueError naming the input where input tensors hold values that the model was not made for."""

    def training_inputs(
        self, raw: dict[str, np.ndarray], options: FitOptions, epoch: int, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Stored raw samples -> what the module is trained on in `epoch` (from 0); may be smaller or augmented."""
        return self.preprocess(raw)

    def without_padding(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input tensors [batch, ...] without what pads every item of the batch, for engines that take any size.

        The outputs must be those of the padded inputs, but for rounding.
        """
        return inputs

    def sample_lengths(self, raw: dict[str, np.ndarray]) -> np.ndarray | None:
        """Lengths [samples] where samples of like length run faster in one batch, else None."""
        return None

    def predictions(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """Outputs [batch, ...] -> int64 class indices [batch]."""
        predicted: np.ndarray = outputs["logits"].argmax(axis=1)
        return predicted

    def predict_body(self) -> type[BaseModel]:
        """The JSON body that people send to the server."""
        return self.plain_body()

    def evaluation_count(self, fraction: float) -> int:
        """How many evaluation samples a profile that uses this fraction of them has."""
        return EXAMPLE_COUNT if self.dataset is None else max(1, round(self.dataset.test * fraction))

    def prepare_predict(self) -> None:
        """Load what `predict_decode` needs, which else its first call loads.

        Raises MissingPackageError where there is none.
        """

    def predict_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        """A `predict_body` -> input tensors of batch 1. Raises ValueError naming the field."""
        return self.plain_decode(body)

    @property
    def predict_limit_bytes(self) -> int:
        """The longest body that `predict_decode` or `predict_file` has a use for."""
        return 2**18

    def predict_file(self, content: bytes) -> dict[str, np.ndarray]:
        """An uploaded file -> input tensors of batch 1. Raises ValueError where it is none that the model reads."""
        raise ValueError(f"{self.name} takes no files; send JSON")

    def predict_answer(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        """Outputs of batch 1 -> the answer for people: the label and the probability of each."""
        import numpy as np

        logits = outputs["logits"][0].astype(np.float64)
        shares = np.exp(logits - logits.max())
        scores = (shares / shares.sum()).tolist()
        index = int(self.predictions(outputs)[0])
        return {"label": self.labels[index], "scores": dict(zip(self.labels, scores, strict=True))}

    @abstractmethod
    def plain_body(self) -> type[BaseModel]:
        """The JSON body of an ordinary handler."""

    @abstractmethod
    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        """Input tensors of batch 1 -> what a caller of the ordinary handler sends, as JSON."""

    @abstractmethod
    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        """A `plain_body` -> input tensors of batch 1. Raises ValueError naming the field."""

    def plain_answer(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        """Outputs of batch 1 -> what the ordinary handler answers, as JSON."""
        index = int(self.predictions(outputs)[0])
        return {"label": self.labels[index], "logits": outputs["logits"][0].tolist()}

    def plain_response(self) -> type[BaseModel]:
        """The pydantic class of `plain_answer`, for a handler that declares one."""
        return LabelAnswer

    def refuse(self, step: str) -> None:
        """Raise Unsupported where this model cannot take an optimization step of this kind."""
        if step in self.optimizations_refused:
            raise Unsupported(self.optimizations_refused[step])


MODELS: Registry[type[Model]] = Registry("model family", "inferlab.models")
