"""A configuration that is being served, and how to load it; it uses no CPU while others are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from inferlab.errors import ArtifactError
from inferlab.load.process import LoadProcess
from inferlab.records import ArtifactRecord, PlannedConfiguration, digest_of
from inferlab.serve.process import ServerProcess
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    import numpy as np

    from inferlab.load.block import Block, BlockResult, Phase
    from inferlab.models.base import Model


class Host:
    """A server that is paused between its blocks. A context manager; leaving it ends the server."""

    def __init__(self, server: ServerProcess, samples: Sequence[dict[str, np.ndarray]], load: LoadProcess) -> None:
        self._server = server
        self._samples = tuple(samples)
        self._load = load

    @property
    def pid(self) -> int:
        """Process id of the server, the root of its process tree."""
        return self._server.pid

    def run(self, block: Block, on_phase: Callable[[Phase], None]) -> BlockResult:
        """Run a block of load; `on_phase` is told of both ends of its measured part. Raises MeasurementError."""
        self._server.resume()
        if self._server.kind == "direct":
            result = self._server.run(self._samples, block, on_phase)
        else:
            result = self._load.run(self._server.requests(self._samples), block, on_phase)
        self._server.pause()
        return result

    def __enter__(self) -> Self:
        self._server.start()
        self._server.pause()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.stop()


def start_host(
    planned: PlannedConfiguration,
    *,
    model: Model,
    artifacts: Path,
    samples: Sequence[dict[str, np.ndarray]],
    load: LoadProcess,
    cores: tuple[int, ...],
    max_batch_size: int,
) -> Host:
    """A host for a planned configuration; it starts when its context is entered.

    `artifacts` is the model's folder. Raises ArtifactError where the artifact is not the one that was planned.
    """
    configuration = planned.configuration
    folder = artifacts / configuration.optimization / configuration.target
    if digest_of(ArtifactRecord.read(folder / "artifact.json").files) != planned.artifact_digest:
        raise ArtifactError(f"{folder} is not the artifact that the study was planned with; run dvc repro")
    # Each compiled batch size holds memory of its own, so that what never batches must not load them.
    largest = 1 if configuration.batching == "none" else max_batch_size
    factory = SessionFactory(artifact_dir=folder, model=model, cores=cores, largest_batch=largest)
    server = ServerProcess(configuration.path, factory, model, configuration.batching, max_batch_size, cores)
    return Host(server, samples, load)
