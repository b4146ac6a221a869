"""Where the tensors of a batch lie in the memory that a server shares with a replica."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from inferlab.serve.tensors import Spec, Tensors

ALIGNMENT_BYTES = 64
"""A cache line, and the widest vector of a CPU."""


@dataclass(frozen=True)
class Place:
    """One tensor: `shape` is that of one item."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Layout:
    """Places for every input and output of batches of up to `items` items; picklable."""

    items: int
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    size_bytes: int

    @classmethod
    def of(cls, inputs: Sequence[Spec], outputs: Sequence[Spec], items: int) -> Layout:
        """One place after another, each aligned."""
        places: list[Place] = []
        offset = 0
        for spec in (*inputs, *outputs):
            places.append(Place(spec.name, spec.dtype, tuple(spec.shape), offset))
            size = items * math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
            offset += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        return cls(items, tuple(places[: len(inputs)]), tuple(places[len(inputs) :]), max(offset, 1))

    def create(self) -> int:
        """File descriptor of anonymous memory of this size, which is gone when nobody has it open."""
        descriptor = os.memfd_create("inferlab-batch")
        os.truncate(descriptor, self.size_bytes)
        return descriptor

    def tensors(self, descriptor: int) -> tuple[Tensors, Tensors]:
        """Inputs and outputs [items, ...] by name, as views of the memory."""
        memory = mmap.mmap(descriptor, self.size_bytes)
        return self._views(memory, self.inputs), self._views(memory, self.outputs)

    def _views(self, memory: mmap.mmap, places: tuple[Place, ...]) -> Tensors:
        return {
            place.name: np.frombuffer(
                memory, np.dtype(place.dtype), self.items * math.prod(place.shape), place.offset
            ).reshape(self.items, *place.shape)
            for place in places
        }
