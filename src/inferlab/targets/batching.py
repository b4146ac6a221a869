"""Batches of any size on engines that compile fixed sizes: the next larger size, padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def compiled_size(sizes: Sequence[int], batch: int) -> int:
    """The smallest of `sizes` that holds `batch` items. Raises ValueError where none does."""
    if not sizes:
        raise ValueError("the session is closed")
    fitting = [size for size in sizes if size >= batch]
    if not fitting or batch < 1:
        raise ValueError(f"a batch of {batch} is not allowed; allowed: 1 to {max(sizes)}, the largest compiled size")
    return min(fitting)


def sizes_up_to(sizes: Sequence[int], largest_batch: int) -> tuple[int, ...]:
    """The sizes that batches of 1 to `largest_batch` need. Raises ValueError where none holds `largest_batch`."""
    last = compiled_size(sizes, largest_batch)
    return tuple(size for size in sorted(sizes) if size <= last)


def padded(array: np.ndarray, size: int) -> np.ndarray:
    """`array` [batch, ...] -> [size, ...]: the last item again and again, since numbers out of range may run slowly."""
    import numpy as np

    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def fill(buffer: np.ndarray, array: np.ndarray) -> None:
    """Write `array` [batch, ...] into `buffer` [size, ...], padded as by `padded` and in the buffer's type."""
    batch = len(array)
    buffer[:batch] = array
    if batch < len(buffer):
        buffer[batch:] = array[-1:]
