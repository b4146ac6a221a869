import pytest
import torch
from torch import nn
from train.tiny import halves

from inferlab.errors import InferlabError, Unsupported
from inferlab.optimize.base import STEPS, Context
from inferlab.optimize.macs import computing_layers
from inferlab.optimize.sparsify_2_4 import mask_2_4
from inferlab.train.accuracy import accuracy

SPARSIFY = STEPS.get("sparsify-2-4").model_validate({"kind": "sparsify-2-4"})
FINETUNE = STEPS.get("finetune").model_validate({"kind": "finetune"})


def test_the_two_largest_of_four_inputs_are_kept() -> None:
    weight = torch.tensor([[1.0, -3.0, 2.0, 0.5, 4.0, 4.5, -5.0, 0.0]])
    assert mask_2_4(weight).tolist() == [[0, 1, 1, 0, 0, 1, 1, 0]]


def test_each_place_of_a_kernel_has_groups_along_its_input_channels() -> None:
    weight = torch.randn(6, 8, 3, 3)
    mask = mask_2_4(weight)
    assert mask.shape == weight.shape
    assert (mask.reshape(6, 2, 4, 3, 3).sum(dim=2) == 2).all()


def test_zeroes_stay_zero_through_fine_tuning(context: Context) -> None:
    layers = {name: each for name, each in computing_layers(context.module).items() if each.weight.shape[1] % 4 == 0}
    metrics = SPARSIFY.apply(context)
    assert 0 < metrics["layers"] == len(layers)
    zeroed = {name: layer.weight == 0 for name, layer in layers.items()}
    assert all(float(each.float().mean()) == 0.5 for each in zeroed.values())
    FINETUNE.apply(context)
    at_end = [finish() for finish in context.at_end]
    assert at_end == [{"zero_share_at_end": pytest.approx(metrics["zero_share"], abs=0.01)}]
    assert all((layer.weight[zeroed[name]] == 0).all() for name, layer in layers.items())
    assert accuracy(context.module, context.model, halves(64, 9)) > 0.95


def test_a_revived_weight_is_found(context: Context) -> None:
    SPARSIFY.apply(context)
    with torch.no_grad():
        for layer in computing_layers(context.module).values():
            if hasattr(layer, "weight_mask"):
                layer.weight_mask.fill_(1)
    with pytest.raises(InferlabError, match="that were zeroed are not zero at the end"):
        context.at_end[0]()


def test_a_network_without_groups_of_four_is_unsupported(context: Context) -> None:
    context.module = nn.Conv2d(3, 8, 3)
    with pytest.raises(Unsupported, match="no layer whose inputs come in groups of 4"):
        SPARSIFY.apply(context)
