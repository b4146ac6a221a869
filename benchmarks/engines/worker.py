"""One session in a process of its own, which runs as many batches as it is asked to."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from inferlab.child import keep_freed_memory
from inferlab.models.base import Model
from inferlab.targets.instructions import flags_here, has_bf16_tiles
from inferlab.targets.loading import SessionFactory

GEMM_SIZE = 2048


def session_worker(connection: Connection, folder: Path, model: Model, core: int) -> None:
    """Answer (batch, calls) with the time of each call in seconds, after one that is not counted."""
    keep_freed_memory()
    session = SessionFactory(folder, model, (core,))()
    inputs: dict[int, dict[str, np.ndarray]] = {}
    connection.send("ready")
    while True:
        batch, calls = connection.recv()
        if batch not in inputs:
            inputs[batch] = model.preprocess(model.example_samples(batch, seed=batch))
        session.run(inputs[batch])
        times_s = []
        for _ in range(calls):
            started = time.perf_counter()
            session.run(inputs[batch])
            times_s.append(time.perf_counter() - started)
        connection.send(times_s)


def peak_worker(connection: Connection, core: int) -> None:
    """Answer (products, calls) with operations per second of `calls` square products, by precision.

    Two operations a multiply-accumulate. fp32 is the faster of MKL and oneDNN; MKL alone where PyTorch's only way to
    oneDNN would round factors to bf16.
    """
    import torch

    torch.set_num_threads(1)
    numbers = torch.rand(GEMM_SIZE, GEMM_SIZE)
    integers = torch.randint(-127, 127, (GEMM_SIZE, GEMM_SIZE), dtype=torch.int8)
    factors = {"fp32": numbers, "bf16": numbers.to(torch.bfloat16), "int8": integers}
    if not has_bf16_tiles(flags_here()):
        factors["fp32-onednn"] = numbers
    connection.send("ready")
    while True:
        _, calls = connection.recv()
        found = {}
        for name, factor in factors.items():
            torch.backends.mkldnn.matmul.fp32_precision = "bf16" if name == "fp32-onednn" else "none"
            multiply = torch._int_mm if name == "int8" else torch.mm
            times_s = []
            for _ in range(calls):
                started = time.perf_counter()
                multiply(factor, factor)
                times_s.append(time.perf_counter() - started)
            found[name] = 2 * GEMM_SIZE**3 / min(times_s)
        found["fp32"] = max(found["fp32"], found.pop("fp32-onednn", 0.0))
        connection.send(found)
