"""A configuration that is being served, and how to load it; it uses no CPU while others are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from inferlab.errors import ArtifactError, MeasurementError
from inferlab.files import digest_of
from inferlab.load.process import LoadProcess, ignore_phase
from inferlab.measure.payloads import together
from inferlab.measure.stopwatch import TimedFactory
from inferlab.processes import strayed
from inferlab.records import ArtifactRecord, Candidate, PlannedConfiguration
from inferlab.serve.cache import bytes_of_answers
from inferlab.serve.host import Placed
from inferlab.serve.process import ServerProcess, stop_servers
from inferlab.targets.base import TARGETS, Target
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    import numpy as np

    from inferlab.load.block import Block, BlockResult, Phase
    from inferlab.models.base import Model


class Turn:
    """Of the servers whose device belongs to one process, the one that runs; it ends before another starts."""

    def __init__(self) -> None:
        self._holder: ServerProcess | None = None

    def give(self, server: ServerProcess) -> bool:
        """Have `server` run; whether it had to be started. Raises what a server raises as it starts."""
        if self._holder is server:
            return False
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.stop()
        server.start()
        self._holder = server
        return True


class Host:
    """A server that is paused between its blocks, or ended where a `turn` has another one run meanwhile."""

    def __init__(
        self,
        server: ServerProcess,
        samples: Sequence[dict[str, np.ndarray]],
        load: LoadProcess,
        turn: Turn | None = None,
        accelerator_cores: int | None = None,
    ) -> None:
        """`accelerator_cores` are those of an accelerator that the server has, where its cores are counted."""
        self.accelerator_cores = accelerator_cores
        self._server = server
        self._samples = {1: tuple(samples)}
        self._load = load
        self._turn = turn
        self._unobserved: list[tuple[Block, int]] = []
        """What warmed the server up, and warms it up again after each start."""

    @property
    def pid(self) -> int:
        """Id of the server, the root of its process tree. Raises MeasurementError while another one has the turn."""
        return self._server.pid

    @property
    def cores(self) -> tuple[int, ...]:
        """The server's own, whether it runs or not."""
        return self._server.cores

    @property
    def replicas(self) -> int:
        """Batches that the server runs beside each other."""
        return self._server.replicas

    def wake(self) -> None:
        """Have the server run until its next block is over, warmed up as before where it had to be started."""
        if self._turn is not None and self._turn.give(self._server):
            for block, items in self._unobserved:
                self._loaded(block, ignore_phase, items)
        self._server.resume()

    def run(self, block: Block, on_phase: Callable[[Phase], None], items: int = 1) -> BlockResult:
        """Run a block of load whose requests carry `items` samples each.

        `on_phase` is told of both ends of its measured part. Raises MeasurementError, also where the server has a
        thread that may run on other cores than its own.
        """
        self.wake()
        result = self._loaded(block, on_phase, items)
        self._server.pause()
        if on_phase is ignore_phase and (block, items) not in self._unobserved:
            self._unobserved.append((block, items))
        if elsewhere := strayed(self.pid, self._server.cores):
            raise MeasurementError(
                f"the server (process {self.pid}) was pinned to cores {list(self._server.cores)} and has threads "
                f"that may run on {elsewhere}: it had more than its budget"
            )
        return result

    def _loaded(self, block: Block, on_phase: Callable[[Phase], None], items: int) -> BlockResult:
        if items not in self._samples:
            self._samples[items] = tuple(together(self._samples[1], items))
        samples = self._samples[items]
        if self._server.kind == "direct":
            return self._server.run(samples, block, on_phase)
        return self._load.run(self._server.requests(samples), block, on_phase)


@contextmanager
def serve_all(
    planned: Sequence[PlannedConfiguration],
    advance: Callable[[int], None],
    chosen: Mapping[str, Candidate] = MappingProxyType({}),
    *,
    model: Model,
    artifacts: Path,
    samples: Sequence[dict[str, np.ndarray]],
    load: LoadProcess,
    cores: tuple[int, ...],
    max_batch_size: int,
) -> Iterator[list[Host]]:
    """A host for each planned configuration, in their order, all up and paused; leaving the context ends them.

    Those on a device that belongs to one process start when it is their turn.

    `artifacts` is the model's folder; `advance` is called with 1 for every host that is up; `chosen` says as what
    configurations are served that are tuned, by id. Raises ArtifactError where an artifact is not the one that was
    planned, and what a server raises as it starts.
    """
    servers = [
        server_of(
            row, model, artifacts, cores, max_batch_size, len(samples), candidate=chosen.get(row.configuration.id)
        )
        for row in planned
    ]
    turns = _turns(planned)
    try:
        for server, turn in zip(servers, turns, strict=True):
            # On its own cores from the beginning, and so one after another: engines give the process's first affinity
            # also to threads that they meet later (oneTBB does).
            if turn is None:
                server.start()
                server.pause()
            advance(1)
        granted = [_device_cores(row, server) for row, server in zip(planned, servers, strict=True)]
        yield [
            Host(server, samples, load, turn, cores)
            for server, turn, cores in zip(servers, turns, granted, strict=True)
        ]
    finally:
        stop_servers(servers)


def server_of(
    planned: PlannedConfiguration,
    model: Model,
    artifacts: Path,
    cores: tuple[int, ...],
    max_batch_size: int,
    distinct: int,
    stopwatch: Path | None = None,
    candidate: Candidate | None = None,
) -> ServerProcess:
    """The server of a planned configuration, not started yet; its session notes its times in the file `stopwatch`.

    With a `candidate` its batch limit, threads and replicas are those; the server itself stays on all `cores`.
    Raises ArtifactError where the artifact is not the one that was planned.
    """
    configuration = planned.configuration
    folder = artifacts / configuration.optimization / configuration.target
    if digest_of(ArtifactRecord.read(folder / "artifact.json").files) != planned.artifact_digest:
        raise ArtifactError(f"{folder} is not the artifact that the study was planned with; run dvc repro")
    # Each compiled batch size holds memory of its own, so that what never batches must not load them.
    largest = candidate.batch_limit if candidate else configuration.largest_batch(max_batch_size)
    factory = SessionFactory(artifact_dir=folder, model=model, cores=cores, largest_batch=largest)
    replicas = _replicas(candidate, factory, TARGETS.get(configuration.target)()) if candidate else []
    cache_bytes = bytes_of_answers(round(configuration.cache_share * distinct), model.outputs)
    timed = factory if stopwatch is None else TimedFactory(factory, stopwatch)
    return ServerProcess(
        configuration.path,
        timed,
        model,
        configuration.batching,
        largest,
        cores,
        cache_bytes,
        configuration.handler,
        replicas,
    )


def _turns(planned: Sequence[PlannedConfiguration]) -> list[Turn | None]:
    """For each configuration the turn that it takes with the others on its device, None where all can run at once."""
    names = [row.configuration.target for row in planned]
    turns = {name: Turn() for name in names if TARGETS.get(name).exclusive}
    return [turns.get(name) for name in names]


def _device_cores(planned: PlannedConfiguration, server: ServerProcess) -> int | None:
    """Cores of its device that a server has: a candidate's replicas one each, otherwise what a process has unplaced."""
    own = TARGETS.get(planned.configuration.target)().device_cores()
    return server.replicas if own is not None and server.replicas > 1 else own


def _replicas(candidate: Candidate, factory: SessionFactory, target: Target) -> list[Placed]:
    """The sessions of a candidate: each with cores of the CPU, or with one of an accelerator's, of its own."""
    if target.on_cpu:
        return [Placed(replace(factory, cores=own), own) for own in _slices(candidate, factory.cores)]
    return [Placed(factory, factory.cores, target.placement((core,)).environment) for core in range(candidate.replicas)]


def _slices(candidate: Candidate, cores: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The cores of each replica: the last ones, so that those that are left, the HTTP side's alone, are the first."""
    threads = candidate.threads
    own = cores[len(cores) - candidate.replicas * threads :]
    return [own[start : start + threads] for start in range(0, len(own), threads)]
