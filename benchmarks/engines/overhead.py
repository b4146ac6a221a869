"""What `Session.run` adds to the engine's own call: both in one process, in random order, on the same inputs.

The model is EfficientNet-Lite0 on pictures of 112 pixels: a few milliseconds in fp32, and weights that fit in caches.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import artifacts
import numpy as np
import yaml

from inferlab.targets.loading import SessionFactory

WARM_UP = 20
MODEL = "efficientnet-lite0"
artifacts.MODEL_ROWS[MODEL] = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["models"][MODEL]


def engines_call(session: Any, target: str, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    """The engine's own call on inputs that are in its form already."""
    import torch

    tensors = [torch.from_numpy(array) for array in inputs.values()]
    if target == "cpu-onnxruntime":
        return lambda: session._session.run(None, inputs)
    if target == "cpu-openvino":
        session.run(inputs)
        request = session._requests[1][0]
        return lambda: request.infer(share_outputs=True)
    if target == "cpu-inductor":
        return lambda: session._packages[1]._loader.boxed_run(list(tensors))

    def eager() -> object:
        with torch.inference_mode():
            return session._module(*tensors)

    return eager


def main() -> None:
    """Print a line a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for artifacts, kept between runs")
    parser.add_argument("--targets", nargs="+", default=list(artifacts.TARGETS), choices=artifacts.TARGETS)
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    model = artifacts.model_called(MODEL)
    artifacts.write_optimized(model, options.work / model.name / "optimized")
    for target in options.targets:
        artifacts.artifact_of(model, target, "fp32", options.work, (1,))
    inputs = model.preprocess(model.example_samples(1, seed=0))
    for target in options.targets:
        folder = artifacts.folder_of(model.name, target, "fp32", options.work)
        session = SessionFactory(folder, model, (options.core,))()
        engine = engines_call(session, target, inputs)
        calls = {"engine": engine, "engine again": engine, "session": lambda: session.run(inputs)}  # noqa: B023
        times_s: dict[str, list[float]] = {name: [] for name in calls}
        order = random.Random(0)
        for number in range(options.calls + WARM_UP):
            for name in order.sample(list(calls), len(calls)):
                started = time.perf_counter()
                calls[name]()
                if number >= WARM_UP:
                    times_s[name].append(time.perf_counter() - started)
        middle_us = {name: 1e6 * statistics.median(values) for name, values in times_s.items()}
        again_us = middle_us["engine again"] - middle_us["engine"]
        added_us = middle_us["session"] - (middle_us["engine"] + middle_us["engine again"]) / 2
        print(
            f"{target:16s} engine {middle_us['engine'] / 1000:.3f} ms, Session.run adds {added_us:+.1f} us, "
            f"{added_us / 20:+.2f} % of 2 ms; the engine's own call again {again_us:+.1f} us"
        )
        session.close()


if __name__ == "__main__":
    main()
