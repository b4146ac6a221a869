"""What the load sends: real samples of the model's evaluation data where it has some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from inferlab.models.base import Model

PAYLOADS = 16
"""Different requests sent in turn, so that no cache sees one picture or one text alone."""
ANY_INTEGER = 1000


def payloads(model: Model, prepared: Path, seed: int) -> list[dict[str, np.ndarray]]:
    """Input tensors of batch 1, by name: a seeded choice of evaluation samples.

    Random numbers of the inputs' types where the model has no data.
    """
    random = np.random.default_rng(seed)
    path = prepared / "evaluation.npz"
    if not path.is_file():
        return [_random_inputs(model, random) for _ in range(PAYLOADS)]
    with np.load(path, allow_pickle=False) as arrays:
        raw = {name: arrays[name] for name in arrays.files if name != "labels"}
    count = len(next(iter(raw.values())))
    chosen = random.choice(count, size=min(PAYLOADS, count), replace=False)
    return [model.preprocess({name: values[[index]] for name, values in raw.items()}) for index in chosen]


def _random_inputs(model: Model, random: np.random.Generator) -> dict[str, np.ndarray]:
    inputs: dict[str, np.ndarray] = {}
    for spec in model.inputs:
        if np.issubdtype(np.dtype(spec.dtype), np.integer):
            inputs[spec.name] = random.integers(ANY_INTEGER, size=(1, *spec.shape)).astype(spec.dtype)
        else:
            inputs[spec.name] = random.standard_normal(size=(1, *spec.shape)).astype(spec.dtype)
    return inputs
