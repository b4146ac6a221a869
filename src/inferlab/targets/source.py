"""What a target compiles: an optimized module, as optimize wrote it, read in the form that an engine takes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np
    from torch import nn
    from torch.export import ExportedProgram

    from inferlab.models.base import Model

PROGRAM_FILE = "program.pt2"
CALIBRATION_FILE = "calibration.npz"


@dataclass(frozen=True)
class Source:
    """An optimized module in `folder`. Each property reads its file at the first use, since no engine needs all."""

    model: Model
    folder: Path

    @cached_property
    def module(self) -> nn.Module:
        """The module in eval mode. Raises ArtifactError naming the file that is missing or damaged."""
        from inferlab.models.structure import load_module

        return load_module(self.model, self.folder)

    @cached_property
    def program(self) -> ExportedProgram:
        """The exported program, its batch dimension dynamic. Raises ArtifactError naming the file."""
        import torch

        path = self.folder / PROGRAM_FILE
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; run dvc repro to make it")
        with warnings.catch_warnings():
            # torch's own deserializer uses what it deprecates.
            warnings.simplefilter("ignore", FutureWarning)
            return torch.export.load(path)

    @cached_property
    def calibration(self) -> dict[str, np.ndarray]:
        """Input tensors [samples, ...] by name. Raises ArtifactError naming the file."""
        import numpy as np

        path = self.folder / CALIBRATION_FILE
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing; run dvc repro to make it") from None
        except ValueError as error:
            raise ArtifactError(f"{path} is damaged: {error}; run dvc repro again") from error
