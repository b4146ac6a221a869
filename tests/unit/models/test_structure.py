import json
from pathlib import Path

import pytest
import torch
from torch import nn
from train.tiny import TinyNetwork, tiny_model

from inferlab.errors import ArtifactError
from inferlab.models.structure import describe, load_module, restore, save_module


def narrowed() -> nn.Module:
    """A tiny network as pruning would leave it."""
    module = TinyNetwork()
    module.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
    module.norm = nn.BatchNorm2d(8)
    module.narrow = nn.Conv2d(8, 16, 3, padding=1)
    return module.eval()


def test_a_module_with_changed_shapes_comes_back(tmp_path: Path) -> None:
    module, picture = narrowed(), torch.rand(2, 1, 8, 8)
    save_module(module, tmp_path)
    loaded = load_module(tiny_model(), tmp_path)
    assert torch.equal(loaded(picture), module(picture))
    assert not loaded.training
    assert describe(loaded) == json.loads((tmp_path / "structure.json").read_text(encoding="utf-8"))


def test_layers_without_a_bias_stay_without() -> None:
    restored = restore(TinyNetwork(), describe(narrowed()))
    assert restored.get_submodule("conv").bias is None
    assert restored.get_submodule("narrow").weight.shape == (16, 8, 3, 3)
    assert restored.get_submodule("norm").running_var.shape == (8,)


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (nn.Linear(6, 4), {"weight": (4, 6), "bias": (4,)}),
        (nn.LayerNorm(6), {"weight": (6,), "bias": (6,)}),
        (nn.Embedding(9, 4), {"weight": (9, 4)}),
        (nn.Conv2d(6, 6, 3, groups=6), {"weight": (6, 1, 3, 3), "bias": (6,)}),
    ],
)
def test_each_kind_of_layer_takes_its_new_shape(layer: nn.Module, shapes: dict[str, tuple[int, ...]]) -> None:
    larger = {
        nn.Linear: lambda: nn.Linear(12, 8),
        nn.LayerNorm: lambda: nn.LayerNorm(12),
        nn.Embedding: lambda: nn.Embedding(18, 8),
        nn.Conv2d: lambda: nn.Conv2d(12, 12, 3, groups=12),
    }[type(layer)]
    restored = restore(nn.Sequential(larger()), describe(nn.Sequential(layer)))
    assert {name: tuple(parameter.shape) for name, parameter in restored[0].named_parameters()} == shapes
    restored[0].load_state_dict(layer.state_dict())


def test_a_structure_of_another_architecture_is_refused() -> None:
    with pytest.raises(ArtifactError, match="does not belong to TinyNetwork: layers differ at 'extra'"):
        restore(
            TinyNetwork(), describe(nn.ModuleDict({**dict(TinyNetwork().named_children()), "extra": nn.Linear(1, 1)}))
        )
    structure = describe(TinyNetwork())
    structure["layers"]["norm"] = {"type": "LayerNorm", "normalized_shape": [16]}
    with pytest.raises(ArtifactError, match="norm: a LayerNorm was stored"):
        restore(TinyNetwork(), structure)


@pytest.mark.parametrize("name", ["module.safetensors", "structure.json"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    save_module(TinyNetwork(), tmp_path)
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=f"{name}.* damaged"):
        load_module(tiny_model(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        load_module(tiny_model(), tmp_path)


def test_weights_of_another_shape_do_not_fit(tmp_path: Path) -> None:
    save_module(narrowed(), tmp_path)
    structure = describe(TinyNetwork())
    (tmp_path / "structure.json").write_text(json.dumps(structure), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"module\.safetensors does not fit"):
        load_module(tiny_model(), tmp_path)
