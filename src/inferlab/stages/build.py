"""build: prepare, optimize, compile and evaluate of several cells at once, so that the stages find them done.

Most of these stages keep one core busy, and DVC runs one at a time. Several `dvc repro` beside each other are DVC's own
way to run stages in parallel; here each has cores of its own, and one optimized model after another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from inferlab.errors import InferlabError
from inferlab.machine import physical_cores
from inferlab.measure.exclusive import LANE
from inferlab.processes import process_tree
from inferlab.records import MachineRecord

if TYPE_CHECKING:
    from inferlab.params import Params

OWN_END_S, ASKED_END_S = 3.0, 15.0
"""Patience after Ctrl-C, which a terminal sends to all processes itself, and after passing it on."""


def run(params: Params, root: Path) -> None:
    """Build every model of the run. Does nothing where only one job can run at a time: `dvc repro` does it then.

    Models share no accelerator, so that on a machine which has one they are not built beside each other. Raises
    InferlabError naming the models that failed.
    """
    jobs = jobs_of(params.run.models, params.run.optimizations)
    lanes = lanes_of(physical_cores(sorted(os.sched_getaffinity(0))), len(jobs))
    if len(lanes) < 2:
        return
    if _dvc(root, ["probe"], []) != 0:
        raise InferlabError("probe failed; what went wrong is above")
    if MachineRecord.read(root / "results" / "machine.json").accelerators:
        return
    build = _Build(root, jobs)
    threads = [threading.Thread(target=build.lane, args=(cores,), daemon=True) for cores in lanes]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        build.end()
        raise
    if build.failed:
        raise InferlabError(f"building {', '.join(dict.fromkeys(build.failed))} failed; what went wrong is above")


class Job(NamedTuple):
    """Cells of one model that are run by one `dvc repro`."""

    model: str
    prepares: bool
    """The model, whose other jobs wait for this one."""
    stages: list[str]
    """In an order in which each finds what it reads."""


def lanes_of(cores: Sequence[Sequence[int]], jobs: int) -> list[list[int]]:
    """Disjoint sets of logical CPUs, whole physical `cores` each, for as many jobs at once as have one."""
    count = min(len(cores), jobs)
    return [[cpu for core in cores[lane::count] for cpu in core] for lane in range(count)]


def jobs_of(models: Sequence[str], optimizations: Sequence[str]) -> list[Job]:
    """All that is built, in the order in which it is begun as far as jobs need not wait."""
    stages = ("optimize", "compile", "evaluate")
    prepare = [Job(model, True, [f"prepare@{model}"]) for model in models]
    cells = [
        Job(model, False, [f"{stage}@{model}-{name}" for stage in stages]) for model in models for name in optimizations
    ]
    return prepare + cells


class _Build:
    """Runs `dvc repro` for each job, in as many threads as there are lanes."""

    def __init__(self, root: Path, jobs: Sequence[Job]) -> None:
        self._root = root
        self._jobs = list(jobs)
        self._prepared: set[str] = set()
        self._changed = threading.Condition()
        self._running: list[subprocess.Popen[str]] = []
        self._ending = False
        self.failed: list[str] = []

    def lane(self, cores: Sequence[int]) -> None:
        """Run jobs on these cores until there are none left, or one has failed."""
        os.sched_setaffinity(0, cores)  # of this thread, and so of what it starts
        while (job := self._next()) is not None:
            code = 1
            try:
                code = _dvc(self._root, job.stages, self._running)
            finally:  # whatever went wrong, the other lanes must not wait for this one
                with self._changed:
                    if code != 0:
                        self.failed.append(job.model)
                    elif job.prepares:
                        self._prepared.add(job.model)
                    self._changed.notify_all()

    def _next(self) -> Job | None:
        """The first job that need not wait, once there is one; None where all are begun or the build ends."""
        with self._changed:
            while self._jobs and not (self.failed or self._ending):
                for job in self._jobs:
                    if job.prepares or job.model in self._prepared:
                        self._jobs.remove(job)
                        return job
                self._changed.wait()
            return None

    def end(self) -> None:
        """Have all that runs end: by itself, then by Ctrl-C, then by force."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        running = list(self._running)
        for signum, patience_s in ((None, OWN_END_S), (signal.SIGINT, ASKED_END_S), (signal.SIGKILL, ASKED_END_S)):
            if signum is not None:
                for pid in [pid for process in running for pid in process_tree(process.pid)]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signum)
            deadline_s = time.monotonic() + patience_s
            for process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline_s - time.monotonic()))
            running = [process for process in running if process.poll() is None]


def _dvc(root: Path, stages: Sequence[str], running: list[subprocess.Popen[str]]) -> int:
    """Run these stages alone and pass on what they say; returns DVC's exit code. `running` has the process meanwhile.

    What they print goes through a pipe: two progress bars on one terminal would overwrite each other.
    """
    command = [str(Path(sys.executable).with_name("dvc")), "--wait-for-lock", "repro", "--single-item", *stages]
    environment = {**os.environ, LANE: str(os.getpid())}
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        running.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
        code = process.wait()
        running.remove(process)
    return code
