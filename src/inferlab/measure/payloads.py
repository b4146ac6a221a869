"""What the load sends: real samples of the model's evaluation data where it has some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inferlab.data.base import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from inferlab.models.base import Model

PAYLOADS = 16
"""Different requests sent in turn, so that no cache sees one picture or one text alone."""
ANY_INTEGER = 1000


def payloads(model: Model, prepared: Path, seed: int) -> list[dict[str, np.ndarray]]:
    """Input tensors of batch 1, by name: a seeded choice of evaluation samples.

    Random numbers of the inputs' types where the model has no data. Raises DataError where its data is not there.
    """
    random = np.random.default_rng(seed)
    if model.data_kind is None:
        return [_random_inputs(model, random) for _ in range(PAYLOADS)]
    samples = Samples.read(prepared / "evaluation.npz")
    chosen = random.choice(len(samples), size=min(PAYLOADS, len(samples)), replace=False)
    return [model.preprocess(samples.take(np.array([index])).raw) for index in chosen]


def _random_inputs(model: Model, random: np.random.Generator) -> dict[str, np.ndarray]:
    inputs: dict[str, np.ndarray] = {}
    for spec in model.inputs:
        if np.issubdtype(np.dtype(spec.dtype), np.integer):
            inputs[spec.name] = random.integers(ANY_INTEGER, size=(1, *spec.shape)).astype(spec.dtype)
        else:
            inputs[spec.name] = random.standard_normal(size=(1, *spec.shape)).astype(spec.dtype)
    return inputs
