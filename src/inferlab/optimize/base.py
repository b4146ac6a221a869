"""What a step of an optimization is, and what it works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.records import Frozen
from inferlab.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from inferlab.data.base import Samples
    from inferlab.models.base import Model


@dataclass
class Context:
    """The module that a recipe changes step by step, and what its steps may use."""

    model: Model
    module: nn.Module
    train: Samples | None
    calibration: Samples | None
    seed: int
    out_dir: Path
    at_end: list[Callable[[], dict[str, float]]] = field(default_factory=list)
    """Called after the last step; their metrics are added to those of the last step."""


class Step(Frozen, ABC):
    """A row of a recipe's `steps:`. A subclass is registered in STEPS by its `kind`."""

    kind: str

    @abstractmethod
    def apply(self, context: Context) -> dict[str, float]:
        """Change `context.module` or write to `context.out_dir`; returns what was measured, units in the names.

        Raises Unsupported where the model cannot take this step.
        """


STEPS: Registry[type[Step]] = Registry("optimization step", "inferlab.optimize")
