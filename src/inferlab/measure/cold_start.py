"""One cold start: a server started alone on its own cores, and its first two answers.

Cold is the process, and not the machine: files come from the page cache, since other starts have read them before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from inferlab.measure.host import Host, server_of
from inferlab.measure.observer import Account, Observer, Sources
from inferlab.measure.stopwatch import read_times

if TYPE_CHECKING:
    from inferlab.load.block import Block, BlockResult
    from inferlab.load.process import LoadProcess
    from inferlab.models.base import Model
    from inferlab.records import PlannedConfiguration
    from inferlab.serve.process import ServerProcess

TIMES = ("scheduled_s", "sent_s", "first_byte_s", "done_s")


@dataclass(frozen=True)
class Start:
    """What a cold start gave.

    Times of `result` count from the process's start, at which its first request was due; the second is marked as
    warm-up. `times` are the columns of studies.base.ProcessStart; `account` is of the time from the process's start to
    the second answer.
    """

    result: BlockResult
    account: Account
    times: dict[str, float]


Starter = Callable[["PlannedConfiguration", "Block"], Start]
"""Starts a planned configuration, runs a block of one caller against it, and ends it."""


@contextmanager
def starting(
    *,
    model: Model,
    artifacts: Path,
    samples: Sequence[dict[str, np.ndarray]],
    load: LoadProcess,
    cores: tuple[int, ...],
    max_batch_size: int,
) -> Iterator[Starter]:
    """What starts one configuration at a time, with telemetry around it.

    Arguments are those of `host.serve_all`. The function that it gives raises ArtifactError where an artifact is not
    the one that was planned, and what a server raises as it starts.
    """

    def start(planned: PlannedConfiguration, block: Block) -> Start:
        with TemporaryDirectory() as folder:
            notes = Path(folder) / "times"
            server = server_of(planned, model, artifacts, cores, max_batch_size, len(samples), notes)
            # On the path direct the server reads them all, in CPU time that counts as the start's.
            sent = samples[: block.max_requests]
            result, account, ready_s = _observed(server, partial(Host, server, sent, load), block, sources, cores)
            result = since_start(result, ready_s)
            return Start(result, account, {"ready_s": ready_s, **_requests(result), **read_times(notes)})

    with Sources((), cores) as sources:
        yield start


def _observed(
    server: ServerProcess, host: Callable[[], Host], block: Block, sources: Sources, cores: tuple[int, ...]
) -> tuple[BlockResult, Account, float]:
    """The block's result, what was observed from the process's start on, and after how many seconds it was ready."""
    begun_unix_s, begun_s = time.time(), time.monotonic()
    server.spawn()
    try:
        observer = Observer(server.pid, sources)
        observer.on_phase("measured")
        server.await_ready()
        ready_s = time.monotonic() - begun_s

        def on_phase(phase: str) -> None:
            if phase == "finished":
                observer.on_phase("finished")

        result = host().run(block, on_phase)
    finally:
        server.stop()
    account = observer.account(result.client_cpu_s, len(cores))
    return replace(result, started_unix_s=begun_unix_s), account, ready_s


def since_start(result: BlockResult, ready_s: float) -> BlockResult:
    """The block as if its first request was due when the process started, and sent as soon as the server was ready.

    What the client took to get going is left out; a rate says nothing here and is NaN.
    """
    columns = dict(result.columns)
    for name in TIMES:
        columns[name] = result.columns[name] - result.columns["scheduled_s"][0] + ready_s
    is_first = np.arange(len(columns["done_s"])) == 0
    columns["scheduled_s"] = np.where(is_first, 0.0, columns["scheduled_s"])
    columns["warmup"] = ~is_first
    first_answer_s = float(columns["done_s"][0])
    return replace(result, columns=columns, throughput_per_s=math.nan, wall_s=first_answer_s)


def _requests(result: BlockResult) -> dict[str, float]:
    """Seconds from sending each of the two requests to its answer; NaN where it was not answered."""
    columns = result.columns
    taken_s = np.where(columns["status"] == "ok", columns["done_s"] - columns["sent_s"], math.nan)
    return {
        "first_request_s": float(taken_s[0]),
        "second_request_s": float(taken_s[1]) if len(taken_s) > 1 else math.nan,
    }
