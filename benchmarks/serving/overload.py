"""What ten times the load does: goodput against the peak, p99 of what was accepted, memory, and lost requests."""

from __future__ import annotations

import argparse
import threading
from collections import Counter
from pathlib import Path

import numpy as np
from endpoint import serving, tree_pss_mib

from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, BlockResult, ClosedLoad, HttpRequests, OpenLoad
from inferlab.load.process import LoadProcess
from inferlab.measure.payloads import payloads
from inferlab.params import load_params
from inferlab.records import PayloadMix
from inferlab.serve.openinference import encode_request


def main() -> None:
    """Print the figures of one overload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--optimization", default="quantized")
    parser.add_argument("--target", default="cpu-openvino")
    parser.add_argument("--times", type=float, default=10.0, help="of the capacity")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--deadline-ms", type=float, default=1000.0)
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="of the server and of the load generator")
    options = parser.parse_args()
    params = load_params(Path("params.yaml"))
    model = params.models[options.model]
    samples = payloads(model, Path("build/prepared") / options.model, 1, PayloadMix())
    core = options.cores[0]
    name = f"m={options.model},{options.optimization},{options.target},cores={core},timeout_ms={options.deadline_ms}"
    memory_mib: list[float] = []
    over = threading.Event()
    with serving([name], core) as (process, port), LoadProcess((options.cores[1],)) as client:
        encoded = [encode_request(sample) for sample in samples]
        url = f"http://127.0.0.1:{port}/v2/models/m/infer"
        requests = HttpRequests(url, encoded[0][1], tuple(body for body, _ in encoded))
        closed = Block(ClosedLoad(16), 1.0, 10.0, 30.0)
        before = client.run(requests, closed).throughput_per_s

        def watch() -> None:
            while not over.wait(2.0):
                memory_mib.append(tree_pss_mib(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        rate_per_s = options.times * before
        result = client.run(requests, Block(OpenLoad(ConstantArrivals(rate_per_s)), 2.0, options.seconds, 30.0))
        over.set()
        watcher.join()
        after = client.run(requests, closed).throughput_per_s
    # a shared machine is not equally fast for two minutes
    print(f"throughput of 16 callers {before:.1f}/s before and {after:.1f}/s after; their mean is the peak")
    report(result, (before + after) / 2, rate_per_s, options.deadline_ms / 1e3, memory_mib)


def report(result: BlockResult, peak: float, rate_per_s: float, deadline_s: float, memory_mib: list[float]) -> None:
    """Print what came of it."""
    kept = ~result.columns["warmup"]
    status = result.columns["status"][kept]
    latency_s = (result.columns["done_s"] - result.columns["scheduled_s"])[kept]
    accepted_s = latency_s[status == "ok"]
    counts = Counter(zip(status.tolist(), result.columns["http_status"][kept].tolist(), strict=True))
    print(f"peak {peak:.1f}/s, offered {rate_per_s:.0f}/s ({result.offered_rate_per_s:.0f}/s in the schedule)")
    print(f"goodput {result.throughput_per_s:.1f}/s ({result.throughput_per_s / peak:.3f} of the peak)")
    print(f"answers {dict(counts)}; first error: {result.first_error}")
    print(
        f"accepted p50 {np.median(accepted_s):.3f} s, p99 {np.quantile(accepted_s, 0.99):.3f} s; "
        f"deadline {deadline_s} s"
    )
    print(
        f"client: schedule lag p99 {result.schedule_lag_p99_s:.4f} s, "
        f"CPU {result.client_cpu_s / result.wall_s:.2f} cores"
    )
    middle = len(memory_mib) // 3
    print(
        f"memory PSS {memory_mib[0]:.0f} MiB at first, {np.mean(memory_mib[middle : 2 * middle]):.0f} in the middle, "
        f"{memory_mib[-1]:.0f} at the end, {max(memory_mib):.0f} at most"
    )


if __name__ == "__main__":
    main()
