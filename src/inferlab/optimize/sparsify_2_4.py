"""2:4 sparsity: of every four inputs that follow each other, the two smallest weights become zero and stay zero.

The pattern is that of the sparse tensor cores of NVIDIA GPUs from compute capability 8.0 (Mishra et al. 2021, arXiv
2104.08378). By torch.nn.utils.prune, as in sparsify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inferlab.errors import InferlabError, Unsupported
from inferlab.optimize.base import STEPS, Context, Step

if TYPE_CHECKING:
    from torch import Tensor

GROUP = 4
KEPT = 2


@STEPS.register("sparsify-2-4")
class Sparsify24(Step):
    """Zero half of the weights of each convolution and linear layer whose inputs come in fours; the others stay."""

    kind: Literal["sparsify-2-4"]

    def apply(self, context: Context) -> dict[str, float]:
        """Weights become `weight_orig` times a mask until the recipe ends, so that no later step can revive one."""
        from torch.nn.utils import prune

        from inferlab.optimize.macs import computing_layers, zero_share

        layers = {
            name: layer
            for name, layer in computing_layers(context.module).items()
            if layer.weight.shape[1] % GROUP == 0
        }
        if not layers:
            raise Unsupported(f"{context.model.name} has no layer whose inputs come in groups of {GROUP}")
        masks = {name: mask_2_4(layer.weight.detach()) for name, layer in layers.items()}
        for name, layer in layers.items():
            prune.custom_from_mask(layer, name="weight", mask=masks[name])  # type: ignore[no-untyped-call]

        def make_permanent() -> dict[str, float]:
            for name, layer in layers.items():
                prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
                if bool((layer.weight[masks[name] == 0] != 0).any()):
                    raise InferlabError(f"sparsify-2-4: weights of {name} that were zeroed are not zero at the end")
            return {"zero_share_at_end": zero_share(context.module)}

        context.at_end.append(make_permanent)
        return {"zero_share": zero_share(context.module), "layers": len(layers)}


def mask_2_4(weight: Tensor) -> Tensor:
    """Ones at the two largest magnitudes of every four inputs [outputs, inputs, ...], zeroes elsewhere.

    A kernel's places each have groups of their own, along the input channels, which is what GPUs multiply.
    """
    import torch

    last = weight.abs().movedim(1, -1)
    groups = last.reshape(*last.shape[:-1], -1, GROUP)
    kept = groups.topk(KEPT, dim=-1).indices
    mask = torch.zeros_like(groups).scatter_(-1, kept, 1.0)
    return mask.flatten(-2).movedim(-1, 1).contiguous()
