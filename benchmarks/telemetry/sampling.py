"""What observing a block costs the measuring process, in percent of a core while it is measured, and after it."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2] / "tests" / "unit"
HOLD = "import sys; held = bytearray(int(sys.argv[1]) * 2**20); held[::4096] = b'x' * len(held[::4096]); input()"


def main() -> None:
    """Print a line for each kind of source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["this-machine", "nvml", "neuron-monitor"], help="alone; all without it")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--block-s", type=float, default=0.5)
    parser.add_argument("--server-mib", type=int, default=500)
    options = parser.parse_args()
    if options.kind is None:
        # Each in an interpreter of its own: a double must not answer for what is measured after it.
        for kind in ("this-machine", "nvml", "neuron-monitor"):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--kind", kind], check=True)
        return
    with server(options.server_mib) as pid, answered_by(options.kind, pid):
        report(options.kind, pid, options.blocks, options.block_s)


@contextmanager
def server(mib: int) -> Iterator[int]:
    """A process that holds memory, sleeps, and is pinned to the last core."""
    command = [sys.executable, "-c", HOLD, str(mib)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        time.sleep(1)
        yield process.pid
        process.communicate(b"\n")


@contextmanager
def answered_by(kind: str, pid: int) -> Iterator[None]:
    """Have the test double of this kind answer, with the server on its device."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "nvml":
            sys.path.insert(0, str(TESTS / "targets" / "fake_nvml"))
            import pynvml

            pynvml.PROCESSES[pid] = 2**30
        if kind == "neuron-monitor":
            fake = TESTS / "measure" / "telemetry" / "fake_neuron" / "neuron_monitor.py"
            program = Path(folder) / "neuron-monitor"
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {fake} "$@"\n')
            program.chmod(0o755)
            os.environ |= {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_NEURON_PID": str(pid)}
        yield


def report(kind: str, pid: int, blocks: int, block_s: float) -> None:
    """Observe blocks and print what it cost."""
    from inferlab.measure.observer import Observer, Sources

    with Sources([pid]) as sources:
        time.sleep(1)  # what a program costs to start is not a cost of sampling
        costs: dict[str, list[float]] = {"begin": [], "between": [], "end": [], "programs": []}
        for number in range(-2, blocks):
            observer = Observer(pid, sources)
            programs_s, at_s = sources.cpu_s(), [time.process_time()]
            observer.on_phase("measured")
            at_s.append(time.process_time())
            time.sleep(block_s)
            at_s.append(time.process_time())
            observer.on_phase("finished")
            account = observer.account(0.0, 1)
            at_s.append(time.process_time())
            if number >= 0:
                spent_s = [later - earlier for earlier, later in pairwise(at_s)]
                for name, value_s in zip(costs, (*spent_s, sources.cpu_s() - programs_s), strict=True):
                    costs[name].append(value_s)
    begin_ms, between_ms, end_ms, programs_ms = (1e3 * statistics.mean(values) for values in costs.values())
    in_block_ms = begin_ms + between_ms + programs_ms
    print(
        f"{kind}: {len(account.values)} quantities, blocks of {block_s:g} s, CPU time of each\n"
        f"    in the measured part {in_block_ms:.2f} ms, {in_block_ms / 10 / block_s:.3f} % of a core: its begin "
        f"{begin_ms:.2f} ms, sampling {between_ms:.2f} ms, programs {programs_ms:.2f} ms\n"
        f"    after it {end_ms:.2f} ms"
    )
    if kind == "this-machine":
        print(f"    not to be had: {', '.join(sorted(account.absent))}")


if __name__ == "__main__":
    main()
