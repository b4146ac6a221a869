"""Fitting a module's weights to labelled samples; shared by prepare and by the optimizations that fine-tune."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inferlab.errors import InferlabError
from inferlab.progress import progress
from inferlab.train.batches import batch_indices

if TYPE_CHECKING:
    from inferlab.data.base import Samples
    from inferlab.models.base import FitOptions, Model

WARM_UP_SHARE = 0.2
"""The share of steps in which the learning rate rises; then it falls as a cosine."""
LARGEST_GRADIENT_NORM = 5.0
STATISTICS_SHARE = 0.2
"""Running statistics of batch normalization average over no more than this share of the steps."""


def fit(
    module: nn.Module,
    model: Model,
    samples: Samples,
    options: FitOptions,
    seed: int,
    what: str,
) -> dict[str, float]:
    """Train `module` in place and leave it in eval mode; returns the mean loss of the first and last tenth of steps.

    The same seed gives the same weights on the same machine, torch build and thread count. Raises InferlabError where
    the loss is not finite.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    lengths = model.sample_lengths(samples.raw)
    epochs = [
        batch_indices(len(samples), options.batch_size, random, lengths) for _ in range(math.ceil(options.epochs))
    ]
    taken = max(1, round(options.epochs * len(epochs[0])))
    batches = [(epoch, index) for epoch, indices in enumerate(epochs) for index in indices][:taken]
    steps = len(batches)
    optimizer = _optimizer(module, options)
    # A rise of no step at all would divide by zero in OneCycleLR, which a training of a few steps could come to.
    rise = max(WARM_UP_SHARE, 2 / (steps + 1))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=options.learning_rate, total_steps=steps + 1, pct_start=rise
    )
    arrange(module, torch.channels_last)
    momenta = _follow_within(module, STATISTICS_SHARE * steps)
    module.train()
    losses: list[float] = []
    with progress(steps, what) as advance:
        for epoch, index in batches:
            batch = samples.take(index)
            inputs = model.training_inputs(batch.raw, options, epoch, random)
            losses.append(_step(module, model, inputs, batch.labels, options, optimizer))
            schedule.step()
            if not math.isfinite(losses[-1]):
                raise InferlabError(
                    f"{what}: the loss is {losses[-1]} in epoch {epoch + 1}; "
                    f"lower learning_rate, which is {options.learning_rate}"
                )
            advance(1)
    arrange(module, torch.contiguous_format)
    for norm, momentum in momenta.items():
        norm.momentum = momentum
    module.eval()
    tenth = max(1, steps // 10)
    return {"steps": steps, "first_loss": float(np.mean(losses[:tenth])), "last_loss": float(np.mean(losses[-tenth:]))}


def _optimizer(module: nn.Module, options: FitOptions) -> torch.optim.AdamW:
    """Weight decay for matrices and kernels alone: on norms and biases it only shrinks scales."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)


def _follow_within(module: nn.Module, steps: float) -> dict[nn.BatchNorm2d, float | None]:
    """Have running statistics forget what is older than about `steps`; returns the momenta that they had.

    At PyTorch's momentum, 0.1, a training of ten steps would end with statistics that are for the most part of the
    weights before it.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    before = {norm: norm.momentum for norm in norms}
    for norm in norms:
        if norm.momentum is not None:
            norm.momentum = max(norm.momentum, min(1.0, 1 / steps))
    return before


def arrange(module: nn.Module, order: torch.memory_format) -> None:
    """Put kernels into a memory order; matrices have only one."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=order)


def _step(
    module: nn.Module,
    model: Model,
    inputs: dict[str, np.ndarray],
    labels: np.ndarray,
    options: FitOptions,
    optimizer: torch.optim.Optimizer,
) -> float:
    tensors = [as_tensor(inputs[spec.name]) for spec in model.inputs]
    half = options.autocast == "bf16" and has_bf16()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = module(*tensors)
    loss = functional.cross_entropy(logits.float(), torch.from_numpy(labels), label_smoothing=options.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT_NORM)
    optimizer.step()
    return float(loss.detach())


def as_tensor(array: np.ndarray) -> Tensor:
    """The array in the memory order that `arrange` gives kernels for training."""
    tensor = torch.from_numpy(array)
    # Depthwise convolutions train twice as fast in this order on a CPU.
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; elsewhere bfloat16 is emulated and slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
