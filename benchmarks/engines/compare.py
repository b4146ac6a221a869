"""Every CPU engine in every precision on ResNet-50 and BERT-base, one thread, interleaved, against PyTorch eager.

The models have random weights: their time is that of the real ones. Every session has a process of its own, all on one
core, of which one runs at a time. cpu-eager in fp32 runs twice under two names; the difference is the noise floor.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import artifacts
from worker import peak_worker, session_worker

from inferlab.child import Child
from inferlab.records import ArtifactRecord

HERE = Path(__file__).resolve().parent
PATIENCE_S = 600.0
REFERENCE, TWIN = ("cpu-eager", "fp32"), ("cpu-eager again", "fp32")
CALLS = {1: 8, 8: 2}
PEAK_OF = {"fp32": "fp32", "bf16": "bf16", "int8-static": "int8", "int8-dynamic": "int8"}

Cell = tuple[str, str]


@contextlib.contextmanager
def started(entry: Any, arguments: tuple[Any, ...], core: int) -> Iterator[Child]:
    """A worker on the core that is ready, until the block ends."""
    paths = os.pathsep.join(filter(None, [str(HERE), *sys.path]))
    child = Child("benchmark worker", entry, arguments, (core,), environment={"PYTHONPATH": paths})
    try:
        child.receive(PATIENCE_S, "loading")
        yield child
    finally:
        child.stop(grace_s=5.0)


def asked(child: Child, batch: int, calls: int) -> Any:
    """What the worker measured."""
    child.send((batch, calls), "measuring")
    return child.receive(PATIENCE_S, "measuring")


def measured(
    name: str, cells: Sequence[Cell], work: Path, rounds: int, core: int
) -> tuple[dict[tuple[Cell, int], list[float]], dict[str, float]]:
    """Medians of each round in seconds, by cell and batch; peaks in operations per second."""
    model = artifacts.model_called(name)
    times: dict[tuple[Cell, int], list[float]] = {}
    peaks: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for target, precision in cells:
            folder = artifacts.folder_of(name, target.partition(" ")[0], precision, work)
            workers[target, precision] = stack.enter_context(started(session_worker, (folder, model, core), core))
        peak = stack.enter_context(started(peak_worker, (core,), core))
        for number in range(rounds):
            for cell in random.Random(number).sample(list(workers), len(workers)):
                for batch, calls in CALLS.items():
                    times.setdefault((cell, batch), []).append(statistics.median(asked(workers[cell], batch, calls)))
            for kind, rate in asked(peak, 0, 3).items():
                peaks[kind] = max(rate, peaks.get(kind, 0.0))
            print(f"{name}: round {number + 1} of {rounds}", file=sys.stderr)
    return times, peaks


def lines_of(
    times: dict[tuple[Cell, int], list[float]], peaks: dict[str, float], macs: int, records: dict[Cell, ArtifactRecord]
) -> list[dict[str, Any]]:
    """A line a cell: milliseconds, ratios to the reference in the same round, share of the peak, engagement."""
    lines = []
    for cell in dict.fromkeys(cell for cell, _ in times):
        line: dict[str, Any] = {"target": cell[0], "precision": cell[1]}
        for batch in CALLS:
            own, reference = times[cell, batch], times[REFERENCE, batch]
            ratios = [theirs / ours for ours, theirs in zip(own, reference, strict=True)]
            middle_s = statistics.median(own)
            line |= {
                f"b{batch}_ms": 1000 * middle_s,
                f"b{batch}_ratio": statistics.median(ratios),
                f"b{batch}_ratio_range": [min(ratios), max(ratios)],
                f"b{batch}_peak_share": 2 * macs * batch / middle_s / peaks[PEAK_OF[cell[1]]],
            }
        engagement = records[REFERENCE if cell == TWIN else cell].engagement
        line["low_precision_mac_share"] = engagement.low_precision_mac_share if engagement else None
        lines.append(line)
    return lines


def show(name: str, lines: Sequence[dict[str, Any]], refused: Sequence[str], peaks: dict[str, float]) -> None:
    """Print a model's table."""
    print(
        f"\n{name}: one thread; ratio to cpu-eager fp32, median of rounds (minimum to maximum); share of the GEMM peak"
    )
    for line in lines:
        cells = []
        for batch in CALLS:
            low, high = line[f"b{batch}_ratio_range"]
            cells.append(
                f"b{batch} {line[f'b{batch}_ms']:8.2f} ms {line[f'b{batch}_ratio']:5.2f} ({low:.2f} to {high:.2f}) "
                f"{line[f'b{batch}_peak_share']:4.0%}"
            )
        share = line["low_precision_mac_share"]
        low_macs = "?" if share is None else f"{share:.0%}"
        print(f"{line['target']:16s} {line['precision']:13s} {'   '.join(cells)}   low-precision MACs {low_macs}")
    for text in refused:
        print(text)
    print(
        "GEMM peak, 2048 x 2048 x 2048, GOP/s: " + ", ".join(f"{kind} {rate / 1e9:.0f}" for kind, rate in peaks.items())
    )


def main() -> None:
    """Compile what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for artifacts, kept between runs")
    parser.add_argument("--models", nargs="+", default=["resnet-50", "bert-base"], choices=list(artifacts.MODEL_ROWS))
    parser.add_argument("--targets", nargs="+", default=list(artifacts.TARGETS), choices=artifacts.TARGETS)
    parser.add_argument("--precisions", nargs="+", default=list(artifacts.PRECISIONS), choices=artifacts.PRECISIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--compile-only", action="store_true", help="measure nothing")
    parser.add_argument("--json", type=Path, help="write every table there")
    options = parser.parse_args()
    # Inductor packs weights for as many threads as a server has here, which is to be one.
    os.sched_setaffinity(0, {options.core})
    tables = {}
    for name in options.models:
        model = artifacts.model_called(name)
        macs = artifacts.write_optimized(model, options.work / name / "optimized")
        wanted = dict.fromkeys([REFERENCE, *((t, p) for t in options.targets for p in options.precisions)])
        records = {
            cell: artifacts.artifact_of(model, *cell, options.work, artifacts.BATCH_SIZES)  # type: ignore[arg-type]
            for cell in wanted
        }
        ready = [cell for cell, record in records.items() if record.outcome == "measured"]
        refused = [f"{t:16s} {p:13s} {r.outcome}: {r.reason}" for (t, p), r in records.items() if (t, p) not in ready]
        if options.compile_only:
            continue
        times, peaks = measured(name, [*ready, TWIN], options.work, options.rounds, options.core)
        lines = lines_of(times, peaks, macs, records)
        show(name, lines, refused, peaks)
        tables[name] = {"lines": lines, "refused": refused, "peaks_per_s": peaks, "macs": macs}
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
