"""Rounding is the same on every device, so that these run on the CPU."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inferlab.errors import Unsupported
from inferlab.models.base import Model
from inferlab.targets.cuda.int8 import quantize_linear_layers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Rows(nn.Module):
    """Pictures [batch, 3, 8, 8] as 24 rows of 8 -> logits [batch, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(8, 16)
        self.odd = nn.Linear(16, 12)
        self.classifier = nn.Linear(12, 4)

    def forward(self, picture: Tensor) -> Tensor:
        rows = torch.relu(self.wide(picture.reshape(-1, 24, 8)))
        logits: Tensor = self.classifier(self.odd(rows).mean(dim=1))
        return logits


@pytest.fixture
def network() -> Rows:
    torch.manual_seed(0)
    return Rows().eval()


@pytest.mark.parametrize("static", [True, False])
def test_layers_with_rows_and_multiples_of_8_are_quantized(network: Rows, tiny: Model, static: bool) -> None:
    calibration = tiny.preprocess(tiny.example_samples(20, seed=1))
    inputs = torch.from_numpy(tiny.preprocess(tiny.example_samples(2, seed=2))["picture"])
    with torch.no_grad():
        before = network(inputs)
        quantized = quantize_linear_layers(tiny, network, 1, calibration if static else None, "cpu")
        after = network(inputs)
    assert quantized.layers == ("wide",)
    wide, odd, classifier = 24 * 8 * 16, 24 * 16 * 12, 12 * 4
    assert quantized.mac_share == pytest.approx(wide / (wide + odd + classifier))
    assert type(network.wide.weight).__name__ == "Int8Tensor"
    assert 0 < float((after - before).abs().max()) < 0.05


def test_the_static_scale_is_that_of_the_largest_magnitude(network: Rows, tiny: Model) -> None:
    calibration = tiny.preprocess(tiny.example_samples(20, seed=1))
    quantize_linear_layers(tiny, network, 1, calibration, "cpu")
    scale = network.wide.weight.act_quant_scale
    assert float(scale) == pytest.approx(float(np.abs(calibration["picture"]).max()) / 127)


def test_what_was_quantized_exports(network: Rows, tiny: Model) -> None:
    quantize_linear_layers(tiny, network, 1, None, "cpu")
    example = (torch.ones(2, 3, 8, 8),)
    with torch.no_grad():
        program = torch.export.export(network, example)
        torch.testing.assert_close(program.module()(*example), network(*example))


def test_a_network_without_such_layers_is_unsupported(tiny: Model) -> None:
    with pytest.raises(Unsupported, match="more than 16 rows, inputs and outputs in multiples of 8"):
        quantize_linear_layers(tiny, tiny.pretrained(), 1, None, "cpu")
