"""The share of samples that a module labels correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from inferlab.data.base import Samples
    from inferlab.models.base import Model

BATCH_SIZE = 64


def predicted_labels(module: nn.Module, model: Model, samples: Samples) -> np.ndarray:
    """int64 class indices [samples], in eval mode, without gradients."""
    module.eval()
    predictions = []
    with torch.no_grad():
        for start in range(0, len(samples), BATCH_SIZE):
            inputs = model.preprocess(samples.take(slice(start, start + BATCH_SIZE)).raw)
            outputs = module(*(torch.from_numpy(inputs[spec.name]) for spec in model.inputs))
            predictions.append(model.predictions({model.outputs[0].name: outputs.numpy()}))
    return np.concatenate(predictions)


def accuracy(module: nn.Module, model: Model, samples: Samples) -> float:
    """The share of `samples` labelled correctly, 0 to 1."""
    return float((predicted_labels(module, model, samples) == samples.labels).mean())
