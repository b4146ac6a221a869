"""A module's shapes as JSON, so that a pruned module is rebuilt from its family's architecture without pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.errors import ArtifactError
from inferlab.files import whole_file

if TYPE_CHECKING:
    from torch import nn

    from inferlab.models.base import Model

WEIGHTS_FILE = "module.safetensors"
STRUCTURE_FILE = "structure.json"

# Hyper-parameters by leaf type: those that fix the shapes of weights, or that pruning changes.
LAYERS: dict[str, tuple[str, ...]] = {
    "Conv2d": ("in_channels", "out_channels", "groups"),
    "BatchNorm2d": ("num_features",),
    "Linear": ("in_features", "out_features"),
    "LayerNorm": ("normalized_shape",),
    "Embedding": ("num_embeddings", "embedding_dim"),
}


def describe(module: nn.Module) -> dict[str, Any]:
    """The hyper-parameters of each leaf layer with weights, by module name."""
    layers: dict[str, Any] = {}
    for name, part in module.named_modules():
        kind = type(part).__name__
        if kind in LAYERS:
            layers[name] = {"type": kind, **{field: _plain(getattr(part, field)) for field in LAYERS[kind]}}
    return {"schema_version": 1, "layers": layers}


def restore(module: nn.Module, structure: dict[str, Any]) -> nn.Module:
    """Give `module` the shapes that `structure` describes; weights of changed layers are lost.

    Raises ArtifactError where the structure does not belong to this architecture.
    """
    own, described = describe(module)["layers"], structure.get("layers", {})
    if set(described) != set(own):
        odd = sorted(set(described) ^ set(own))[0]
        raise ArtifactError(f"the structure does not belong to {type(module).__name__}: layers differ at {odd!r}")
    for name, fields in described.items():
        if fields["type"] != own[name]["type"]:
            raise ArtifactError(f"{name}: a {fields['type']} was stored, the architecture has {own[name]}")
        if fields != own[name]:
            _reshape(module.get_submodule(name), fields)
    return module


def save_module(module: nn.Module, folder: Path) -> None:
    """Write the weights as safetensors, and the structure beside them."""
    from safetensors.torch import save

    with whole_file(folder / WEIGHTS_FILE) as part:
        # By way of bytes, since safetensors gives the files that it makes itself to their owner alone.
        part.write_bytes(save({name: tensor.contiguous() for name, tensor in module.state_dict().items()}))
    with whole_file(folder / STRUCTURE_FILE) as part:
        part.write_text(json.dumps(describe(module), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_module(model: Model, folder: Path) -> nn.Module:
    """The stored module in eval mode. Raises ArtifactError naming the file that is missing or does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    structure_file, weights_file = folder / STRUCTURE_FILE, folder / WEIGHTS_FILE
    try:
        structure = json.loads(structure_file.read_text(encoding="utf-8"))
        weights = load_file(weights_file)
    except FileNotFoundError as error:
        raise ArtifactError(f"{error.filename or weights_file} is missing; run dvc repro to make it") from None
    except (ValueError, SafetensorError) as error:
        raise ArtifactError(f"{structure_file} or {weights_file} is damaged: {error}; run dvc repro again") from error
    module = restore(model.architecture(), structure)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"{weights_file} does not fit {structure_file}: {error}") from error
    return module.eval()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _reshape(part: nn.Module, fields: dict[str, Any]) -> None:
    """Set hyper-parameters, and give every weight its new shape."""
    import torch
    from torch import nn

    for field, value in fields.items():
        if field != "type":
            setattr(part, field, tuple(value) if isinstance(value, list) else value)
    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(part, nn.Conv2d):
        shapes["weight"] = (part.out_channels, part.in_channels // part.groups, *part.kernel_size)
        shapes["bias"] = (part.out_channels,)
    elif isinstance(part, nn.Linear):
        shapes = {"weight": (part.out_features, part.in_features), "bias": (part.out_features,)}
    elif isinstance(part, nn.BatchNorm2d):
        shapes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (part.num_features,))
    elif isinstance(part, nn.LayerNorm):
        shapes = dict.fromkeys(("weight", "bias"), part.normalized_shape)
    elif isinstance(part, nn.Embedding):
        shapes["weight"] = (part.num_embeddings, part.embedding_dim)
    for name, shape in shapes.items():
        old = getattr(part, name)
        if old is not None:
            empty = torch.zeros(shape, dtype=old.dtype)
            setattr(part, name, nn.Parameter(empty) if isinstance(old, nn.Parameter) else empty)
