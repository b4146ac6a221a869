"""A session of compiled batch sizes on a GPU: one stream, pinned host memory, a CUDA graph for each size.

A graph is recorded once, at loading, and replayed: the GPU gets one command for a batch, not one for every kernel
(PyTorch's CUDA semantics, CUDA Graphs). It reads and writes the same memory each time, so shapes are static.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from inferlab.targets.batching import compiled_size, fill

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model

Run = Callable[..., Any]
"""Inputs on the device -> outputs on the device, a tensor or several, on the current stream."""

WARMUP_RUNS = 3
"""Before a graph is recorded, as in PyTorch's guide: libraries choose algorithms and allocate in their first runs."""


@dataclass
class _Slot:
    """The memory of one compiled size, and how the device is started on it."""

    host_inputs: dict[str, Tensor]
    inputs: list[Tensor]
    launch: Callable[[], tuple[Tensor, ...]]
    host_outputs: list[Tensor]
    graph: torch.cuda.CUDAGraph | None


class StaticSession:
    """Runs batches padded to the next larger size of `runs`. With `graphs` each size is a CUDA graph."""

    thread_safe = False

    def __init__(self, model: Model, runs: Mapping[int, Run], device: str, *, graphs: bool) -> None:
        """Raises RuntimeError where `graphs` is set and a size does what no graph can hold."""
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._slots: dict[int, _Slot] = {}
        with torch.inference_mode():
            for size, run in runs.items():
                self._slots[size] = self._slot(model, size, run, device, graphs=graphs)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = len(inputs[self._inputs[0]])
        slot = self._slots[compiled_size(list(self._slots), batch)]
        for name, host in slot.host_inputs.items():
            fill(host.numpy(), inputs[name])
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for host, tensor in zip(slot.host_inputs.values(), slot.inputs, strict=True):
                tensor.copy_(host, non_blocking=True)
            outputs = slot.launch()
            for host, output in zip(slot.host_outputs, outputs, strict=True):
                host.copy_(output, non_blocking=True)
            self._stream.synchronize()
        # The pinned memory is the next batch's, so the caller gets a copy.
        return {name: host.numpy()[:batch].copy() for name, host in zip(self._outputs, slot.host_outputs, strict=True)}

    def close(self) -> None:
        for slot in self._slots.values():
            if slot.graph is not None:
                slot.graph.reset()
        self._slots = {}
        torch.cuda.empty_cache()

    def _slot(self, model: Model, size: int, run: Run, device: str, *, graphs: bool) -> _Slot:
        hosts = {spec.name: pinned((size, *spec.shape), getattr(torch, spec.dtype)) for spec in model.inputs}
        inputs = [torch.ones(host.shape, dtype=host.dtype, device=device) for host in hosts.values()]
        graph: torch.cuda.CUDAGraph | None = None
        # Weights and inputs come by the default stream, for which ours does not wait.
        torch.cuda.synchronize()
        with torch.cuda.stream(self._stream):
            outputs = _tuple(run(*inputs))
            if graphs:
                for _ in range(WARMUP_RUNS - 1):
                    run(*inputs)
        self._stream.synchronize()
        if graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._stream):
                outputs = _tuple(run(*inputs))
        launch = _direct(run, inputs) if graph is None else _replayed(graph, outputs)
        return _Slot(hosts, inputs, launch, [pinned(tuple(each.shape), each.dtype) for each in outputs], graph)


def why_no_graphs(model: Model, runs: Mapping[int, Run], device: str) -> str:
    """Empty where every size can be recorded as a CUDA graph, else what CUDA says against it."""
    try:
        StaticSession(model, runs, device, graphs=True).close()
    except RuntimeError as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def pinned(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeroes in host memory that the device copies from and to by itself, while the CPU goes on."""
    return torch.zeros(shape, dtype=dtype, pin_memory=True)


def _direct(run: Run, inputs: list[Tensor]) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: _tuple(run(*inputs))


def _replayed(graph: torch.cuda.CUDAGraph, outputs: tuple[Tensor, ...]) -> Callable[[], tuple[Tensor, ...]]:
    def launch() -> tuple[Tensor, ...]:
        graph.replay()
        return outputs

    return launch


def _tuple(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
