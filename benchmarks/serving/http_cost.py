"""What HTTP costs on top of the batcher in process: paths `direct` and `fastapi`, interleaved, on one core.

The client is that of `inferlab load`, since what a client takes per request is not the server's cost: with the aiohttp
client of the studies one caller's p50 was 0.4 ms longer, on two cores of an AMD EPYC and a model of 6 ms.

Run it where `dvc repro` has run: it needs build/artifacts and build/prepared of the model.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np

from inferlab.load.block import Block, BlockResult, ClosedLoad
from inferlab.load.process import LoadProcess
from inferlab.measure.order import shuffled
from inferlab.measure.payloads import payloads
from inferlab.params import load_params
from inferlab.records import PayloadMix
from inferlab.serve.process import ServerProcess
from inferlab.targets.loading import SessionFactory


def p50_s(result: BlockResult) -> float:
    """Median latency of the measured requests."""
    kept = (~result.columns["warmup"]) & (result.columns["status"] == "ok")
    return float(np.median((result.columns["done_s"] - result.columns["scheduled_s"])[kept]))


def main() -> None:
    """Print throughput at many callers and p50 at one, of both paths, and the median of their ratios by round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--optimization", default="quantized")
    parser.add_argument("--target", default="cpu-openvino")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block-s", type=float, default=2.0)
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="of the server and of the load generator")
    options = parser.parse_args()
    params = load_params(Path("params.yaml"))
    model, core = params.models[options.model], options.cores[0]
    most = max(params.compile.batch_sizes)
    artifact = Path("build/artifacts") / options.model / options.optimization / options.target
    factory = SessionFactory(artifact_dir=artifact, model=model, cores=(core,), largest_batch=most)
    samples = payloads(model, Path("build/prepared") / options.model, 1, PayloadMix())
    cells = [(path, callers) for path in ("direct", "fastapi") for callers in (1, options.callers)]
    found: dict[tuple[str, int], list[BlockResult]] = {cell: [] for cell in cells}
    with (
        LoadProcess((options.cores[1],)) as client,
        ServerProcess("direct", factory, model, "dynamic", most, (core,)) as direct,
        ServerProcess("fastapi", factory, model, "dynamic", most, (core,)) as fastapi,
    ):
        requests = replace(fastapi.requests(samples), client="http1")
        direct.pause()
        fastapi.pause()
        for number in range(-1, options.rounds):
            for path, callers in shuffled(cells, 1, "http-cost", number + 1):
                server = direct if path == "direct" else fastapi
                block = Block(ClosedLoad(callers), 0.3, options.block_s, 30.0)
                server.resume()
                result = direct.run(samples, block) if path == "direct" else client.run(requests, block)
                server.pause()
                if result.first_error:
                    raise SystemExit(f"{path}: {result.first_error}")
                if number >= 0:
                    found[path, callers].append(result)
    for name, callers, value in (
        ("throughput (1/s)", options.callers, lambda result: result.throughput_per_s),
        ("p50 (ms)", 1, lambda result: p50_s(result) * 1e3),
    ):
        own = [value(result) for result in found["fastapi", callers]]
        other = [value(result) for result in found["direct", callers]]
        ratios = [mine / theirs for mine, theirs in zip(own, other, strict=True)]
        low, high = np.quantile(ratios, [0.1, 0.9])
        sizes = [np.mean(result.columns["batch_size"]) for result in found["fastapi", callers]]
        print(
            f"{callers:3d} caller(s) {name:17s} direct {statistics.median(other):9.3f}  fastapi "
            f"{statistics.median(own):9.3f}  fastapi/direct {statistics.median(ratios):.4f} "
            f"(80 % of rounds: {low:.4f} to {high:.4f})  mean batch {np.mean(sizes):.2f}"
        )


if __name__ == "__main__":
    main()
