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
from inferlab.load.process import LoadProcess
from inferlab.measure.payloads import together
from inferlab.measure.stopwatch import TimedFactory
from inferlab.processes import strayed
from inferlab.records import ArtifactRecord, Candidate, PlannedConfiguration
from inferlab.serve.cache import bytes_of_answers
from inferlab.serve.host import Placed
from inferlab.serve.process import ServerProcess, stop_servers
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    import numpy as np

    from inferlab.load.block import Block, BlockResult, Phase
    from inferlab.models.base import Model


class Host:
    """A server that is paused between its blocks."""

    def __init__(self, server: ServerProcess, samples: Sequence[dict[str, np.ndarray]], load: LoadProcess) -> None:
        self._server = server
        self._samples = {1: tuple(samples)}
        self._load = load

    @property
    def pid(self) -> int:
        """Process id of the server, the root of its process tree."""
        return self._server.pid

    @property
    def replicas(self) -> int:
        """Batches that the server runs beside each other."""
        return self._server.replicas

    def run(self, block: Block, on_phase: Callable[[Phase], None], items: int = 1) -> BlockResult:
        """Run a block of load whose requests carry `items` samples each.

        `on_phase` is told of both ends of its measured part. Raises MeasurementError, also where the server has a
        thread that may run on other cores than its own.
        """
        if items not in self._samples:
            self._samples[items] = tuple(together(self._samples[1], items))
        samples = self._samples[items]
        self._server.resume()
        if self._server.kind == "direct":
            result = self._server.run(samples, block, on_phase)
        else:
            result = self._load.run(self._server.requests(samples), block, on_phase)
        self._server.pause()
        if elsewhere := strayed(self.pid, self._server.cores):
            raise MeasurementError(
                f"the server (process {self.pid}) was pinned to cores {list(self._server.cores)} and has threads "
                f"that may run on {elsewhere}: it had more than its budget"
            )
        return result


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
    try:
        for server in servers:
            # On its own cores from the beginning, and so one after another: engines give the process's first affinity
            # also to threads that they meet later (oneTBB does).
            server.start()
            server.pause()
            advance(1)
        yield [Host(server, samples, load) for server in servers]
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
    slices = _slices(candidate, cores) if candidate else []
    replicas = [Placed(replace(factory, cores=own), own) for own in slices]
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


def _slices(candidate: Candidate, cores: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The cores of each replica: the last ones, so that those that are left, the HTTP side's alone, are the first."""
    threads = candidate.threads
    own = cores[len(cores) - candidate.replicas * threads :]
    return [own[start : start + threads] for start in range(0, len(own), threads)]
