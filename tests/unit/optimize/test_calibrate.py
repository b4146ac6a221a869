import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from inferlab.errors import Unsupported
from inferlab.optimize.base import STEPS, Context
from inferlab.optimize.calibrate import activation_ranges, rounded_to_int8, weight_sensitivities

CALIBRATE = STEPS.get("calibrate").model_validate({"kind": "calibrate", "sensitivity_samples": 8})


def test_writes_tensors_ranges_and_sensitivities(context: Context) -> None:
    before = {name: tensor.clone() for name, tensor in context.module.state_dict().items()}
    metrics = CALIBRATE.apply(context)
    with np.load(context.out_dir / "calibration.npz") as stored:
        assert stored["picture"].shape == (16, 1, 8, 8)
        assert stored["picture"].dtype == np.float32
        assert (stored["picture"] == context.model.preprocess(context.calibration.raw)["picture"]).all()
    content = json.loads((context.out_dir / "ranges.json").read_text(encoding="utf-8"))
    assert set(content["activation_ranges"]) == set(content["weight_signal_to_noise_db"])
    assert set(content["activation_ranges"]) == {"conv", "narrow", "classifier"}
    assert metrics["calibration_samples"] == 16
    assert metrics["lowest_signal_to_noise_db"] == min(content["weight_signal_to_noise_db"].values()) > 20
    after = context.module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_ranges_are_those_of_all_batches() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    ranges = activation_ranges(nn.Sequential(layer), [(torch.tensor([[1.0], [-3.0]]),), (torch.tensor([[5.0]]),)])
    assert ranges == {"0": {"input_min": -3.0, "input_max": 5.0, "output_min": -6.0, "output_max": 10.0}}
    assert not layer._forward_hooks


def test_the_more_sensitive_layer_has_the_lower_ratio() -> None:
    torch.manual_seed(0)
    exact, rough = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
    with torch.no_grad():
        exact.weight.copy_(torch.eye(16))
    ratios = weight_sensitivities(nn.Sequential(exact, rough), [(torch.randn(32, 16),)])
    assert ratios["0"] == 200.0
    assert 30 < ratios["1"] < 60


class Shared(nn.Module):
    """One layer used before and after another."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.between = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.relu_(self.shared(features))
        return self.shared(self.between(inner))


def test_each_layer_is_judged_as_if_the_whole_module_ran_again() -> None:
    torch.manual_seed(0)
    module, batches = Shared().eval(), [(torch.randn(4, 8),), (torch.randn(3, 8),)]
    expected = {}
    with torch.no_grad():
        reference = torch.cat([module(*batch) for batch in batches])
        for name in ("shared", "between"):
            changed = copy.deepcopy(module)
            weight = changed.get_submodule(name).weight
            weight.copy_(rounded_to_int8(weight))
            noise = (torch.cat([changed(*batch) for batch in batches]) - reference).square().sum()
            expected[name] = float(10 * torch.log10(reference.square().sum() / noise))
    assert weight_sensitivities(module, batches) == pytest.approx(expected, abs=0.01)
    assert all("forward" not in vars(layer) and not layer._forward_hooks for layer in module.children())


def test_a_layer_rounded_to_int8_has_at_most_255_values_a_channel_and_keeps_its_largest() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 20, 20) * torch.tensor([1.0, 10.0, 0.1, 0.0]).reshape(4, 1, 1, 1)
    rounded = rounded_to_int8(weight)
    for channel in range(4):
        assert len(rounded[channel].unique()) <= 255
    assert torch.allclose(rounded.abs().amax(dim=(1, 2, 3)), weight.abs().amax(dim=(1, 2, 3)))
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert ((rounded - weight).abs() <= step / 2 * 1.001 + 1e-12).all()


def test_no_data_is_unsupported(context: Context) -> None:
    context.calibration = None
    with pytest.raises(Unsupported, match="tiny has no data to calibrate with"):
        CALIBRATE.apply(context)
