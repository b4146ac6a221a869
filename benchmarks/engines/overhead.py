"""What `Session.run` adds to the engine's own call: both in one process, in turn, on the same inputs.

The model is ResNet-50 on pictures of 32 pixels, the smallest that it takes: a few milliseconds in fp32.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import artifacts
import numpy as np

from inferlab.targets.loading import SessionFactory

artifacts.MODEL_ROWS["resnet-50-at-32-px"] = {"family": "resnet", "image_size_px": 32}


def engines_call(session: Any, target: str, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    """The engine's own call on inputs that are in its form already."""
    import torch

    tensors = [torch.from_numpy(array) for array in inputs.values()]
    if target == "cpu-onnxruntime":
        return lambda: session._session.run(None, inputs)
    if target == "cpu-openvino":
        request = session._requests[1]
        for index, array in enumerate(inputs.values()):
            request.set_input_tensor(index, session._tensor(array, shared_memory=True))
        return lambda: request.infer(share_outputs=True)
    if target == "cpu-inductor":
        return lambda: session._loaders[1].boxed_run(list(tensors))

    def eager() -> object:
        with torch.inference_mode():
            return session._module(*tensors)

    return eager


def main() -> None:
    """Print a line a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for artifacts, kept between runs")
    parser.add_argument("--targets", nargs="+", default=list(artifacts.TARGETS), choices=artifacts.TARGETS)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    model = artifacts.model_called("resnet-50-at-32-px")
    artifacts.write_optimized(model, options.work / model.name / "optimized")
    for target in options.targets:
        artifacts.artifact_of(model, target, "fp32", options.work, (1,))
    inputs = model.preprocess(model.example_samples(1, seed=0))
    for target in options.targets:
        folder = artifacts.folder_of(model.name, target, "fp32", options.work)
        session = SessionFactory(folder, model, (options.core,))()
        calls = {"engine": engines_call(session, target, inputs), "session": lambda: session.run(inputs)}  # noqa: B023
        times_s: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(options.calls + 20):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                if number >= 20:
                    times_s[name].append(time.perf_counter() - started)
        engine = statistics.median(times_s["engine"])
        # Of neighbours in time, since a machine is not equally fast all the time.
        pairs = zip(times_s["engine"], times_s["session"], strict=True)
        added_us = 1e6 * statistics.median(session_s - engine_s for engine_s, session_s in pairs)
        print(
            f"{target:16s} engine {1000 * engine:.3f} ms, Session.run adds {added_us:.1f} us, "
            f"{added_us / 20:.2f} % of 2 ms"
        )
        session.close()


if __name__ == "__main__":
    main()
