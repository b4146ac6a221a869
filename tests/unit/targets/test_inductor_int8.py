from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inferlab.models.base import Model
from inferlab.targets.inductor_int8 import quantized
from inferlab.targets.source import Source
from targets.tiny import expected

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def rounding(module: nn.Module) -> list[str]:
    """The operators of a quantized module that compute ranges or round."""
    assert isinstance(module, torch.fx.GraphModule)
    names = [str(node.target) for node in module.graph.nodes if node.op == "call_function"]
    return [name for name in names if name.startswith("quantized_decomposed.")]


def test_ranges_come_from_the_calibration_samples(tiny: Model, optimized_dir: Path) -> None:
    source = Source(tiny, optimized_dir)
    module = quantized(source.program, tiny, source.calibration)
    names = rounding(module)
    assert "quantized_decomposed.quantize_per_tensor.default" in names
    assert not any("choose_qparams" in name for name in names)
    inputs = tiny.preprocess(tiny.example_samples(3, seed=3))
    with torch.no_grad():
        logits = module(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)
    assert not np.array_equal(logits, expected(tiny, inputs))


def test_without_samples_ranges_are_found_at_run_time_for_linear_layers(tiny: Model, optimized_dir: Path) -> None:
    names = rounding(quantized(Source(tiny, optimized_dir).program, tiny, None))
    assert sum("choose_qparams" in name for name in names) == 1
    assert sum("dequantize_per_channel" in name for name in names) == 1
