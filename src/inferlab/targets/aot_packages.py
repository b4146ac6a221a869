"""What targets that compile with AOTInductor share: one package for each batch size, and the inputs it is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from inferlab.models.base import Model


def package_file(size: int) -> str:
    """The package for batches of `size`."""
    return f"batch-{size}.pt2"


def example_inputs(model: Model, size: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    """Ones in the shapes of a batch of `size`, in the order of the module's arguments; `dtype` is that of floats."""
    import torch

    own: list[torch.dtype] = [getattr(torch, spec.dtype) for spec in model.inputs]
    return tuple(
        torch.ones((size, *spec.shape), dtype=dtype if kind.is_floating_point else kind, device=device)
        for spec, kind in zip(model.inputs, own, strict=True)
    )
