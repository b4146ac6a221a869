"""Answers to inputs that were asked before, byte for byte; off unless a deployment asks for it."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferlab.serve.tensors import Spec, Tensors

ENTRY_BYTES = 512
"""What an entry takes beside its arrays' bytes: its key, its dict and the arrays' headers."""


class ResponseCache:
    """The most recently used answers, of up to `limit_bytes` together. A model's answer must follow from its inputs."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0
        self._entries: OrderedDict[bytes, Tensors] = OrderedDict()

    def find(self, key: bytes) -> Tensors | None:
        """The outputs for inputs of this key, read-only; counts as a hit or a miss."""
        found = self._entries.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return found

    def keep(self, key: bytes, outputs: Tensors) -> None:
        """Remember outputs, at the cost of the least recently used; larger ones than the limit are not kept."""
        size = _size(outputs)
        if size > self.limit_bytes or key in self._entries:
            return
        kept = {name: value.copy() for name, value in outputs.items()}  # a view would keep its whole batch
        for value in kept.values():
            value.flags.writeable = False
        self._entries[key] = kept
        self.size_bytes += size
        while self.size_bytes > self.limit_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.size_bytes -= _size(dropped)


def key_of(inputs: Tensors) -> bytes:
    """A digest (BLAKE2b, 256 bits) of names, shapes and bytes; types are the model's and never differ."""
    digest = hashlib.blake2b(digest_size=32)
    for name, value in sorted(inputs.items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.digest()


def bytes_of_answers(count: int, outputs: Sequence[Spec]) -> int:
    """The limit of a cache that holds so many answers of one item each; `outputs` are the model's."""
    values = sum(np.dtype(spec.dtype).itemsize * math.prod(spec.shape) for spec in outputs)
    return count * (ENTRY_BYTES + values)


def _size(outputs: Tensors) -> int:
    return ENTRY_BYTES + sum(value.nbytes for value in outputs.values())
