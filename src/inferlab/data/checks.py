"""Checks that data sets share: label balance, duplicates, and draws that keep the balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferlab.errors import DataError

if TYPE_CHECKING:
    import numpy as np


def class_shares(labels: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """The share of each class, 0 to 1, by its name."""
    import numpy as np

    counts = np.bincount(labels, minlength=len(names))
    return {name: round(float(count) / len(labels), 4) for name, count in zip(names, counts, strict=True)}


def require_shares(what: str, labels: np.ndarray, names: tuple[str, ...], low: float, high: float) -> dict[str, float]:
    """The class shares. Raises DataError naming a class whose share is outside low to high."""
    shares = class_shares(labels, names)
    for name, share in shares.items():
        if not low <= share <= high:
            raise DataError(f"{what}: class {name!r} has a share of {share}; allowed: {low} to {high}")
    return shares


def duplicate_mask(samples: np.ndarray, others: np.ndarray) -> np.ndarray:
    """True [samples] where a sample equals one of `others` or a sample before it."""
    import numpy as np

    seen = {other.tobytes() for other in others}
    mask = np.zeros(len(samples), dtype=bool)
    for index, sample in enumerate(samples):
        content = sample.tobytes()
        mask[index] = content in seen
        seen.add(content)
    return mask


def balanced_choice(labels: np.ndarray, count: int, random: np.random.Generator, what: str) -> np.ndarray:
    """`count` distinct indices in random order, classes in equal shares up to one sample.

    Raises DataError where a class has too few samples.
    """
    import numpy as np

    classes = np.unique(labels)
    chosen = []
    for position, label in enumerate(classes):
        wanted = count // len(classes) + (position < count % len(classes))
        candidates = np.flatnonzero(labels == label)
        if wanted > len(candidates):
            raise DataError(f"{what}: {count} samples asked for, but class {label} has only {len(candidates)}")
        chosen.append(random.choice(candidates, wanted, replace=False))
    index = np.concatenate(chosen)
    random.shuffle(index)
    return index
