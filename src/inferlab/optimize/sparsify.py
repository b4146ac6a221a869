"""Sparsity: the weights of smallest magnitude become zero and stay zero through fine-tuning.

By torch.nn.utils.prune. torchao's WeightNormSparsifier was left out: it is in `torchao.prototype`, whose interface may
change with any release, and it chooses by the norm of blocks, where single weights are asked for here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inferlab.errors import InferlabError
from inferlab.optimize.base import STEPS, Context, Step


@STEPS.register("sparsify")
class Sparsify(Step):
    """Zero a share of the weights of each convolution and linear layer."""

    kind: Literal["sparsify"]
    zeroed: float = Field(gt=0, lt=1)

    def apply(self, context: Context) -> dict[str, float]:
        """Weights become `weight_orig` times a mask until the recipe ends, so that no later step can revive one."""
        from torch.nn.utils import prune

        from inferlab.optimize.macs import computing_layers, zero_share

        layers = computing_layers(context.module)
        for layer in layers.values():
            prune.l1_unstructured(layer, name="weight", amount=self.zeroed)  # type: ignore[no-untyped-call]

        def make_permanent() -> dict[str, float]:
            for layer in layers.values():
                prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
            share = zero_share(context.module)
            # A layer rounds its number of zeroes to a whole one.
            if share < self.zeroed - len(layers) / sum(layer.weight.numel() for layer in layers.values()):
                raise InferlabError(f"sparsify: {share:.4f} of the weights are zero at the end, not {self.zeroed}")
            return {"zero_share_at_end": share}

        context.at_end.append(make_permanent)
        return {"zero_share": zero_share(context.module), "layers": len(layers)}
