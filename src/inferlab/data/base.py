"""What a data set is, and the samples that it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from inferlab.errors import DataError, ParamsError
from inferlab.files import whole_file
from inferlab.records import Frozen
from inferlab.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

LABELS = "labels"
"""The name under which a stored file keeps the labels beside the raw arrays."""


@dataclass(frozen=True)
class Samples:
    """Labelled samples: raw arrays [samples, ...] by name, and int64 labels [samples]."""

    raw: dict[str, np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray | slice) -> Samples:
        """The samples at `index`, in its order."""
        return Samples({name: array[index] for name, array in self.raw.items()}, self.labels[index])

    def write(self, path: Path) -> None:
        """Store as an .npz file, which appears whole or not at all. Not compressed: that took longer than all else."""
        import numpy as np

        with whole_file(path) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **{**self.raw, LABELS: self.labels})

    @classmethod
    def read(cls, path: Path) -> Samples:
        """Read what `write` stored. Raises DataError naming the file where it is missing or damaged."""
        import zipfile

        import numpy as np

        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                raw = {name: stored[name] for name in stored.files if name != LABELS}
                return cls(raw, stored[LABELS])
        except FileNotFoundError:
            raise DataError(f"{path} is missing; run dvc repro, or the prepare stage, to make it") from None
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} does not hold stored samples: {error}") from error


@dataclass(frozen=True)
class Splits:
    """Samples to train on, to judge by and to calibrate with; `checks` says what was checked on the way in."""

    train: Samples
    evaluation: Samples
    calibration: Samples
    checks: dict[str, Any]


class DatasetOptions(Frozen, ABC):
    """A data set as a model's row in params.yaml names it. A subclass is registered in DATASETS by its name."""

    kind: ClassVar[Literal["picture", "text"]]
    """`picture`: raw {"picture": uint8 [samples, height, width]}; `text`: raw {"text": str [samples]}."""
    labels: ClassVar[tuple[str, ...]]

    name: str
    train: PositiveInt = Field(description="training samples under a profile with train_fraction 1")
    test: PositiveInt = Field(description="evaluation samples under a profile with evaluation_fraction 1")
    calibration: PositiveInt = Field(
        description="samples to calibrate with, taken from the training samples, under a profile with "
        "calibration_fraction 1"
    )

    @property
    def most(self) -> dict[str, int]:
        """The most samples that `train` and `test` may ask for, where that is known without reading the data."""
        return {}

    def check(self, key: str) -> None:
        """Raise ParamsError naming a key below `key` where it asks for what this data set does not have."""
        for name, most in self.most.items():
            if getattr(self, name) > most:
                raise ParamsError(f"{key}.{name}", getattr(self, name), f"at most {most}")
        if self.calibration > self.train:
            raise ParamsError(f"{key}.calibration", self.calibration, f"at most {self.train}, since `train` holds them")

    @abstractmethod
    def load(self, train_count: int, evaluation_count: int, seed: int) -> Splits:
        """Balanced, disjoint splits of the given sizes; calibration samples are part of the training samples.

        Raises DataError where a check fails, MissingPackageError where the data comes with a package that is missing.
        """


DATASETS: Registry[type[DatasetOptions]] = Registry("data set", "inferlab.data")
