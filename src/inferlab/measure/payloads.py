"""What the load sends: samples of the model's evaluation data, and random ones where prepare had none to store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inferlab.data.base import Samples
from inferlab.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inferlab.models.base import Model
    from inferlab.records import PayloadMix


def payloads(model: Model, prepared: Path, seed: int, mix: PayloadMix) -> list[dict[str, np.ndarray]]:
    """Input tensors of batch 1, by name: a seeded choice of what prepare stored for evaluation.

    Where all are sent in turn, fewer samples than the mix asks for will do. Raises DataError where there are none, and
    UserError where there are too few to draw from.
    """
    random = np.random.default_rng(seed)
    samples = Samples.read(prepared / "evaluation.npz")
    if mix.zipf_exponent is not None and len(samples) < mix.distinct:
        raise UserError(
            f"payloads.distinct of the study is {mix.distinct}; expected at most {len(samples)}, the evaluation "
            f"samples of {model.name} in this profile"
        )
    chosen = random.choice(len(samples), size=min(mix.distinct, len(samples)), replace=False)
    return [model.preprocess(samples.take(np.array([index])).raw) for index in chosen]


def together(samples: Sequence[dict[str, np.ndarray]], items: int) -> list[dict[str, np.ndarray]]:
    """As many payloads, of `items` samples each: the n-th begins with the n-th sample and goes on with the next."""
    count = len(samples)
    return [
        {name: np.concatenate([samples[(first + step) % count][name] for step in range(items)]) for name in samples[0]}
        for first in range(count)
    ]
