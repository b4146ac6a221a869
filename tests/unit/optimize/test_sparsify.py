import pytest
import torch
from pydantic import ValidationError
from train.tiny import halves

from inferlab.errors import InferlabError
from inferlab.optimize.base import STEPS, Context
from inferlab.optimize.macs import computing_layers, zero_share
from inferlab.train.accuracy import accuracy

SPARSIFY = STEPS.get("sparsify").model_validate({"kind": "sparsify", "zeroed": 0.5})
FINETUNE = STEPS.get("finetune").model_validate({"kind": "finetune"})


def test_zeroes_stay_zero_through_fine_tuning(context: Context) -> None:
    SPARSIFY.apply(context)
    zeroed = {name: layer.weight == 0 for name, layer in computing_layers(context.module).items()}
    FINETUNE.apply(context)
    metrics = [finish() for finish in context.at_end]
    assert metrics == [{"zero_share_at_end": pytest.approx(0.5)}]
    for name, layer in computing_layers(context.module).items():
        assert (layer.weight[zeroed[name]] == 0).all()
    assert accuracy(context.module, context.model, halves(64, 9)) > 0.95


def test_the_smallest_weights_of_each_layer_go(context: Context) -> None:
    before = {name: layer.weight.detach().clone() for name, layer in computing_layers(context.module).items()}
    assert SPARSIFY.apply(context) == {"zero_share": 0.5, "layers": 3}
    for name, layer in computing_layers(context.module).items():
        kept = layer.weight != 0
        assert before[name][kept].abs().min() >= before[name][~kept].abs().max()
        assert torch.equal(layer.weight[kept], before[name][kept])


def test_the_module_has_its_usual_parameters_at_the_end(context: Context) -> None:
    names = set(context.module.state_dict())
    SPARSIFY.apply(context)
    context.at_end[0]()
    assert set(context.module.state_dict()) == names
    assert zero_share(context.module) == 0.5


def test_a_revived_weight_is_found(context: Context) -> None:
    SPARSIFY.apply(context)
    with torch.no_grad():
        for layer in computing_layers(context.module).values():
            layer.weight_mask.fill_(1)
    with pytest.raises(InferlabError, match=r"sparsify: 0\.0000 of the weights are zero at the end, not 0\.5"):
        context.at_end[0]()


@pytest.mark.parametrize("zeroed", [0, 1, 1.5, -0.1])
def test_impossible_shares_are_refused(zeroed: float) -> None:
    with pytest.raises(ValidationError):
        STEPS.get("sparsify").model_validate({"kind": "sparsify", "zeroed": zeroed})
