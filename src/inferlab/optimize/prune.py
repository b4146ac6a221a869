"""Structured pruning: whole channels, attention heads and hidden units are removed, so that every engine gains.

By torch-pruning (Fang et al., DepGraph, 2023, arXiv 2301.12900): it finds which weights must go together. What matters
little is judged by a first-order Taylor expansion of the loss on training samples (Molchanov et al. 2019, arXiv
1906.10771).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from inferlab.errors import Unsupported
from inferlab.optimize.base import STEPS, Context, Step

if TYPE_CHECKING:
    from torch import Tensor, nn

SEARCH_STEPS = 10
"""Halvings of the range of ratios; 10 settle it to a thousandth."""
BATCH_SIZE = 32
LARGEST_LAYER_RATIO = 0.7
"""No layer loses more of its channels than this, lest the ranking over all layers cut one through."""


@STEPS.register("prune")
class Prune(Step):
    """Remove structure until about `macs_kept` of the multiply-accumulates are left."""

    kind: Literal["prune"]
    macs_kept: float = Field(gt=0, lt=1)
    tolerance: float = Field(gt=0, lt=1, description="how far the kept share may be from macs_kept")
    round_to: PositiveInt = Field(description="channels stay a multiple of this, which vector units like")
    samples: PositiveInt = Field(description="training samples that the importance of channels is judged on")

    def apply(self, context: Context) -> dict[str, float]:
        from inferlab.optimize.macs import macs_per_item

        example = _inputs(context, 1)
        before = macs_per_item(context.module, example)
        gradients = _gradients(context, self.samples)
        best: tuple[float, float, float, nn.Module] | None = None
        low, high = 0.0, 1.0
        for _ in range(SEARCH_STEPS):
            ratio = (low + high) / 2
            candidate = _pruned(context, gradients, ratio, self.round_to, example)
            kept = macs_per_item(candidate, example) / before
            off = abs(kept - self.macs_kept)
            if best is None or off < best[0]:
                best = (off, ratio, kept, candidate)
            if off <= self.tolerance / 4:
                break
            low, high = (ratio, high) if kept > self.macs_kept else (low, ratio)
        assert best is not None
        off, ratio, kept, candidate = best
        if off > self.tolerance:
            raise Unsupported(
                f"{context.model.name}: no ratio keeps {self.macs_kept} ± {self.tolerance} of the MACs when channels "
                f"are rounded to {self.round_to}; the nearest is {kept:.3f}"
            )
        context.module = candidate
        return {"pruning_ratio": ratio, "macs_kept": kept, "macs_before": before}


def _inputs(context: Context, count: int) -> tuple[Tensor, ...]:
    import torch

    samples = context.model.example_samples(count, context.seed)
    inputs = context.model.preprocess(samples)
    return tuple(torch.from_numpy(inputs[spec.name]) for spec in context.model.inputs)


def _gradients(context: Context, count: int) -> dict[str, Tensor]:
    """The gradient of the loss on the first `count` training samples, by parameter name."""
    import numpy as np
    import torch
    from torch.nn import functional

    from inferlab.train.fit import arrange, as_tensor

    if context.train is None:
        raise Unsupported(f"{context.model.name} has no training data to judge channels by")
    samples = context.train.take(slice(0, count))
    lengths = context.model.sample_lengths(samples.raw)
    if lengths is not None:  # Samples of like length share a batch, where padding would only cost time.
        samples = samples.take(np.argsort(lengths, kind="stable"))
    context.module.eval()
    context.module.zero_grad()
    arrange(context.module, torch.channels_last)
    for start in range(0, len(samples), BATCH_SIZE):
        batch = samples.take(slice(start, start + BATCH_SIZE))
        inputs = context.model.without_padding(context.model.preprocess(batch.raw))
        logits = context.module(*(as_tensor(inputs[spec.name]) for spec in context.model.inputs))
        loss = functional.cross_entropy(logits, torch.from_numpy(batch.labels), reduction="sum")
        torch.autograd.backward(loss)
    gradients = {
        name: parameter.grad.contiguous()
        for name, parameter in context.module.named_parameters()
        if parameter.grad is not None
    }
    context.module.zero_grad()
    arrange(context.module, torch.contiguous_format)
    return gradients


def _pruned(
    context: Context, gradients: dict[str, Tensor], ratio: float, round_to: int, example: tuple[Tensor, ...]
) -> nn.Module:
    """A pruned copy; `ratio` of the prunable channels and of the attention heads are gone, ranked over all layers."""
    import torch_pruning

    module = copy.deepcopy(context.module)
    for name, parameter in module.named_parameters():
        parameter.grad = gradients[name].clone() if name in gradients else None
    hints = context.model.pruning_hints(module)
    pruner = torch_pruning.pruner.BasePruner(
        module,
        example,
        importance=torch_pruning.importance.GroupTaylorImportance(),
        global_pruning=True,
        pruning_ratio=ratio,
        max_pruning_ratio=LARGEST_LAYER_RATIO,
        round_to=round_to,
        ignored_layers=hints.kept_whole,
        num_heads=hints.heads,
        prune_num_heads=bool(hints.heads),
        prune_head_dims=False,
        head_pruning_ratio=ratio,
    )
    pruner.step()
    module.zero_grad()
    return module
