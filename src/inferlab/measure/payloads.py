"""What the load sends: samples of the model's evaluation data, and random ones where prepare had none to store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inferlab.data.base import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from inferlab.models.base import Model

PAYLOADS = 16
"""Different requests sent in turn, so that no cache sees one picture or one text alone."""


def payloads(model: Model, prepared: Path, seed: int) -> list[dict[str, np.ndarray]]:
    """Input tensors of batch 1, by name: a seeded choice of what prepare stored for evaluation.

    Raises DataError where that is not there.
    """
    random = np.random.default_rng(seed)
    samples = Samples.read(prepared / "evaluation.npz")
    chosen = random.choice(len(samples), size=min(PAYLOADS, len(samples)), replace=False)
    return [model.preprocess(samples.take(np.array([index])).raw) for index in chosen]
