import pytest
import torch

from inferlab.errors import Unsupported
from inferlab.optimize.base import STEPS, Context

FINETUNE = STEPS.get("finetune").model_validate({"kind": "finetune"})


def test_weights_change_and_the_loss_is_reported(context: Context) -> None:
    before = context.module.state_dict()["conv.weight"].clone()
    metrics = FINETUNE.apply(context)
    assert not torch.equal(context.module.state_dict()["conv.weight"], before)
    assert metrics["last_loss"] < 0.2
    assert metrics["steps"] == 32


def test_no_options_or_no_data_is_unsupported(context: Context) -> None:
    context.model = context.model.model_copy(update={"finetune": None})
    with pytest.raises(Unsupported, match="tiny has no training data or no `finetune` options"):
        FINETUNE.apply(context)
