"""Fine-tuning: weights are fitted again after a step that changed the module."""

from __future__ import annotations

from typing import Literal

from inferlab.errors import Unsupported
from inferlab.optimize.base import STEPS, Context, Step


@STEPS.register("finetune")
class Finetune(Step):
    """Fit the module to the training samples with the model's `finetune` options."""

    kind: Literal["finetune"]

    def apply(self, context: Context) -> dict[str, float]:
        from inferlab.train.fit import fit

        options = context.model.finetune
        if options is None or context.train is None:
            raise Unsupported(f"{context.model.name} has no training data or no `finetune` options")
        return fit(
            context.module, context.model, context.train, options, context.seed, f"fine-tune {context.model.name}"
        )
