"""Do independent load generators say the same? `inferlab load`, `hey` and MLPerf LoadGen on one server of 5 ms.

Interleaved in random order, each pinned to the same core; see README.md for `hey` and for LoadGen's environment.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

from servers import HERE, inferlab_load, served

Figures = tuple[float, float]
"""Requests per second, p50 in seconds."""


def ours(url: str, core: int, duration_s: float, *options: str) -> Figures:
    """`inferlab load`."""
    found = inferlab_load(url, core, "--duration", str(duration_s), *options)
    if found["outcome"] != "measured" or found["first_error"]:
        raise SystemExit(f"inferlab load: {found['reason']} {found['first_error']}")
    return found["throughput_per_s"], found["latency_p50_s"]


def hey(url: str, core: int, duration_s: float, clients: int) -> Figures:
    """https://github.com/rakyll/hey"""
    command = ["taskset", "-c", str(core), "hey", "-z", f"{duration_s}s", "-c", str(clients), "-cpus", "1", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, p50 = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"50%+ in ([\d.]+) secs", text)
    if rate is None or p50 is None or "Error distribution" in text:
        raise SystemExit(f"hey:\n{text}")
    return float(rate[1]), float(p50[1])


def loadgen(python: Path, url: str, core: int, duration_s: float, scenario: str, rate_per_s: float) -> Figures:
    """mlcommons-loadgen"""
    command = ["taskset", "-c", str(core), str(python), str(HERE / "loadgen_client.py"), url, "--scenario", scenario]
    command += ["--duration", str(duration_s), "--rate", str(rate_per_s)]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    return found["per_s"], found["p50_ns"] / 1e9


def main() -> None:
    """Print, for each pair, the median of the round ratios of throughput and p50."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loadgen", type=Path, help="python of an environment with requirements.txt beside this file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=100.0, help="of the scenario Server, requests/s")
    parser.add_argument("--cores", type=int, nargs=2, default=[1, 0], help="of the server and of the load generator")
    options = parser.parse_args()
    server, core = options.cores
    seconds, rate = options.duration, options.rate
    with served("five_ms", server) as url:
        cells = {
            ("closed loop, 1 client", "inferlab"): lambda: ours(url, core, seconds, "--clients", "1"),
            ("closed loop, 1 client", "hey"): lambda: hey(url, core, seconds, 1),
            ("closed loop, 8 clients", "inferlab"): lambda: ours(url, core, seconds, "--clients", "8"),
            ("closed loop, 8 clients", "hey"): lambda: hey(url, core, seconds, 8),
        }
        if options.loadgen:
            poisson = ("--scenario", "open", "--arrivals", "poisson", "--rate", str(rate))
            cells |= {
                ("SingleStream", "inferlab"): lambda: ours(url, core, seconds, "--clients", "1"),
                ("SingleStream", "LoadGen"): lambda: loadgen(options.loadgen, url, core, seconds, "SingleStream", rate),
                ("Server", "inferlab"): lambda: ours(url, core, seconds, *poisson),
                ("Server", "LoadGen"): lambda: loadgen(options.loadgen, url, core, seconds, "Server", rate),
            }
        found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
        for _ in range(options.rounds):
            for cell in random.sample(list(cells), len(cells)):
                found[cell].append(cells[cell]())
    for scenario, other in [cell for cell in cells if cell[1] != "inferlab"]:
        pairs = list(zip(found[scenario, "inferlab"], found[scenario, other], strict=True))
        throughput, p50 = (statistics.median(mine[at] / theirs[at] for mine, theirs in pairs) for at in (0, 1))
        mine, theirs = (statistics.median(pair[side][1] for pair in pairs) for side in (0, 1))
        print(
            f"{scenario:22s} inferlab/{other:8s} throughput {throughput:.4f}  p50 {p50:.4f}  "
            f"(p50 {mine * 1e3:.3f} and {theirs * 1e3:.3f} ms)"
        )


if __name__ == "__main__":
    main()
