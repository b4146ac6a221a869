"""Traced modules that are loaded onto the NeuronCores of this process.

Facts of the interface: AWS Neuron SDK, api-torch-neuronx-data-parallel.rst and the core placement guide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.targets.batching import compiled_size, padded

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model


class NeuronSession:
    """Takes and gives CPU tensors; the transfers and the wait for the device are inside the traced module's call.

    On several cores each takes an equal part of a batch.
    """

    thread_safe = False

    def __init__(self, model: Model, traced: dict[int, Callable[..., Any]], cores: int = 1) -> None:
        """`traced` by the size that a core's part of a batch was compiled for."""
        self._traced = {size * cores: each for size, each in traced.items()}
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        batch = len(inputs[self._inputs[0]])
        size = compiled_size(list(self._traced), batch)
        arrays = [padded(inputs[name], size) for name in self._inputs]
        # Arrays over the bytes of a request are read-only, which torch has no notion of.
        tensors = [torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays]
        with torch.inference_mode():
            outputs = self._traced[size](*tensors)
        results = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return {name: result[:batch].numpy() for name, result in zip(self._outputs, results, strict=True)}

    def close(self) -> None:
        self._traced = {}


def load_traced(files: Callable[[int], Path], sizes: Sequence[int], cores: int) -> dict[int, Callable[..., Any]]:
    """The traced modules by the size that they were compiled for, replicated on all `cores` that the process has.

    Several cores share each batch through torch_neuronx.DataParallel: of the compiled sizes, those are loaded that a
    core's share of the largest batch needs. Its dynamic batching is off, since batches are padded to what was compiled.
    """
    import torch
    import torch_neuronx

    load: Callable[[str], Any] = torch.jit.load
    if cores == 1:
        return {size: load(str(files(size))) for size in sizes}
    share = -(-max(sizes) // cores)
    needed = [size for size in sizes if size <= compiled_size(sizes, share)]
    return {
        size: torch_neuronx.DataParallel(
            load(str(files(size))), device_ids=list(range(cores)), dim=0, set_dynamic_batching=False
        )
        for size in needed
    }
