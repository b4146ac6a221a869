"""Which samples share a training batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BATCHES_SORTED_TOGETHER = 32
"""Samples are sorted by length among this many batches: short batches stay random, padding stays small."""


def batch_indices(
    count: int, batch_size: int, random: np.random.Generator, lengths: np.ndarray | None = None
) -> list[np.ndarray]:
    """Indices of one epoch's batches, each sample once, in random order.

    Where `lengths` [count] is given, a batch has samples of like length. A last batch of one sample is left out, since
    batch normalization cannot train on it.
    """
    import numpy as np

    order = random.permutation(count)
    if lengths is not None:
        pool = batch_size * BATCHES_SORTED_TOGETHER
        pools = [order[start : start + pool] for start in range(0, count, pool)]
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in pools])
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    batches = [batch for batch in batches if len(batch) > 1]
    return [batches[index] for index in random.permutation(len(batches))]
