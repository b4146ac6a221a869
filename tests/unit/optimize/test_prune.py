import numpy as np
import pytest
import torch
from models.rows import MINILM

from inferlab.data.base import Samples
from inferlab.errors import Unsupported
from inferlab.models.base import MODELS
from inferlab.models.structure import load_module, save_module
from inferlab.optimize.base import STEPS, Context, Step
from inferlab.optimize.macs import macs_per_item


def prune(**changes: object) -> Step:
    row = {"kind": "prune", "macs_kept": 0.7, "tolerance": 0.05, "round_to": 1, "samples": 32, **changes}
    return STEPS.get("prune").model_validate(row)


def test_about_the_share_asked_for_is_kept(context: Context) -> None:
    example = (torch.rand(1, 1, 8, 8),)
    before = macs_per_item(context.module, example)
    metrics = prune().apply(context)
    assert macs_per_item(context.module, example) / before == pytest.approx(metrics["macs_kept"])
    assert abs(metrics["macs_kept"] - 0.7) <= 0.05
    assert metrics["macs_before"] == before


def test_channels_are_rounded_and_the_head_keeps_its_classes(context: Context) -> None:
    prune(round_to=4, tolerance=0.2).apply(context)
    assert context.module.get_submodule("conv").out_channels % 4 == 0
    assert context.module.get_submodule("narrow").out_channels % 4 == 0
    assert context.module.get_submodule("classifier").out_features == 2


def test_a_pruned_module_comes_back_from_its_files(context: Context) -> None:
    prune().apply(context)
    save_module(context.module, context.out_dir)
    picture = torch.rand(3, 1, 8, 8)
    assert torch.equal(load_module(context.model, context.out_dir)(picture), context.module(picture))


def test_a_share_that_rounding_forbids_is_unsupported_with_the_nearest(context: Context) -> None:
    with pytest.raises(Unsupported, match=r"no ratio keeps 0\.9 ± 0\.01 .* rounded to 16; the nearest is"):
        prune(macs_kept=0.9, tolerance=0.01, round_to=16).apply(context)


def test_no_data_is_unsupported(context: Context) -> None:
    context.train = None
    with pytest.raises(Unsupported, match="no training data to judge channels by"):
        prune().apply(context)


def test_heads_and_hidden_units_of_minilm_go_and_it_comes_back(context: Context) -> None:
    torch.manual_seed(0)
    model = MODELS.get("minilm").model_validate({"name": "m", "family": "minilm", **MINILM})
    samples = Samples(model.example_samples(8, seed=0), np.arange(8, dtype=np.int64) % 2)
    pruned = Context(model, model.architecture(), samples, samples, 0, context.out_dir)
    prune(samples=8, round_to=8).apply(pruned)
    layers = pruned.module.get_submodule("layers")
    for layer in layers:
        attention = layer.attention
        assert attention.heads * 32 == attention.query.out_features == attention.output.in_features
        assert layer.hidden.out_features % 8 == 0
        assert layer.output.out_features == attention.output.out_features == 384
    assert sum(layer.attention.heads for layer in layers) < 72
    assert sum(layer.hidden.out_features for layer in layers) < 6 * 1536
    save_module(pruned.module, context.out_dir)
    inputs = tuple(torch.from_numpy(array) for array in model.preprocess(samples.raw).values())
    with torch.no_grad():
        assert torch.equal(load_module(model, context.out_dir)(*inputs), pruned.module(*inputs))
