"""What sessions ask of torch.cuda, on a machine without CUDA: streams and graphs whose device is the CPU.

It refuses what CUDA refuses: to wait or to read a value back while a graph is recorded, to replay a graph that is empty
or was reset. A graph holds the operators that ran while it was recorded, and replays them on the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

READS_BACK = ("_local_scalar_dense", "nonzero", "item")


class FakeCuda:
    """The calls in their order; `recording` is the graph that is being recorded."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.recording: _Graph | None = None

    def note(self, call: str, *, permitted_while_recording: bool = False) -> None:
        if self.recording is not None and not permitted_while_recording:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.calls.append(call)

    def enqueue(self, run: Callable[[], None]) -> None:
        """What an engine puts onto the stream: done at once, or, while a graph is recorded, when it is replayed."""
        if self.recording is None:
            run()
        else:
            self.recording.tape.append((run, (), {}, None))


class _Recorder(TorchDispatchMode):
    def __init__(self, tape: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()
        self._tape = tape

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in READS_BACK):
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        result = func(*args, **(kwargs or {}))
        self._tape.append((func, args, kwargs or {}, result))
        return result


class _Graph:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.tape: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        if not self.tape:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        self._cuda.note("replay")
        for func, args, kwargs, before in self.tape:
            after = func(*args, **kwargs)
            old, new = (before, after) if isinstance(before, (tuple, list)) else ((before,), (after,))
            for target, value in zip(old, new, strict=True):
                if isinstance(target, Tensor) and target.data_ptr() != value.data_ptr():
                    target.copy_(value)

    def reset(self) -> None:
        self._cuda.note("reset")
        self.tape = []


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """torch.cuda as sessions use it; the targets' device has to be "cpu"."""
    fake = FakeCuda()

    class Stream:
        cuda_stream = 1

        def synchronize(self) -> None:
            fake.note("stream.synchronize")

    @contextmanager
    def stream(current: Stream) -> Iterator[None]:
        assert isinstance(current, Stream)
        yield

    @contextmanager
    def graph(recorded: _Graph, *, stream: Stream) -> Iterator[None]:
        fake.note("graph")
        fake.recording = recorded
        try:
            with _Recorder(recorded.tape):
                yield
        finally:
            fake.recording = None

    def noted(call: str) -> Callable[[], None]:
        return lambda: fake.note(call)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: _Graph(fake))
    monkeypatch.setattr(torch.cuda, "synchronize", noted("synchronize"))
    monkeypatch.setattr(torch.cuda, "empty_cache", noted("empty_cache"))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90a", "compute_120"])
    monkeypatch.setattr("inferlab.targets.cuda.sessions.pinned", lambda shape, dtype: torch.zeros(shape, dtype=dtype))
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True  # PyTorch's defaults
    yield fake
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
