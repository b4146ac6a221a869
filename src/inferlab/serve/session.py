"""What serving needs of a loaded artifact; every session of `targets/` fits."""

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Session(Protocol):
    """A loaded artifact that runs batches."""

    thread_safe: bool
    """Whether `run` may be called from several threads at once."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input tensors [batch, ...] by name -> output tensors [batch, ...] by name."""
        ...

    def close(self) -> None:
        """Free the device and the memory."""
        ...


SessionFactory = Callable[[], Session]
"""Picklable; called in the process that serves."""
