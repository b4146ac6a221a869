"""Quality of artifacts: every evaluation sample through the very session that is served."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inferlab.child import HANDSHAKE_TIMEOUT_S, TERMINATE_GRACE_S, Child, keep_freed_memory
from inferlab.errors import DataError
from inferlab.files import digest_of, whole_file
from inferlab.models.base import Model
from inferlab.progress import progress
from inferlab.records import ArtifactRecord, QualityRecord
from inferlab.targets.base import TARGETS, Session, Target
from inferlab.targets.compiling import MANIFEST
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    import numpy as np

    from inferlab.data.base import Samples

QUALITY_FILE = "quality.json"
PREDICTIONS_FILE = "predictions.parquet"
EVALUATION_FILE = "evaluation.npz"

CONFIDENCE = 0.95
BATCHES_AT_A_TIME = 16
"""How many batches go to a worker in one message: few messages, and progress every second or so."""
CHUNKS_AHEAD = 2
"""A worker finds its next chunk waiting when it has done one."""


class Evaluator:
    """Measures the quality of a model's artifacts, one after another. A context manager; leaving it ends its workers.

    On a CPU it has one process with one thread for each core: 2 cores labelled faster than with 2 threads in one
    process (minilm, eager: 16 ms instead of 21 ms a text). They serve all CPU targets in turn, since a process of its
    own for each artifact would import the same packages again. Other devices belong to one process, which ends with
    its artifact.
    """

    def __init__(self, model: Model, prepared_dir: Path) -> None:
        self._model = model
        self._path = prepared_dir / EVALUATION_FILE
        self._stack = ExitStack()
        self._cpu_workers: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def evaluate(self, artifact_dir: Path, out_dir: Path) -> QualityRecord:
        """Measure an artifact's quality; writes quality.json and predictions.parquet (index, label, prediction).

        An artifact without files, or a model without labelled data, is an outcome of the record, with no predictions.
        Raises ArtifactError where the artifact is damaged, DataError where there are no samples.
        """
        import numpy as np

        record = ArtifactRecord.read(artifact_dir / MANIFEST)
        quality = QualityRecord(
            model=record.model,
            optimization=record.optimization,
            target=record.target,
            outcome=record.outcome,
            reason=record.reason,
            provenance=record.provenance,
            metric=self._model.quality_metric,
        )
        labels = predictions = np.empty(0, dtype=np.int64)
        if record.outcome == "measured" and self._model.quality_metric is None:
            reason = f"{self._model.name} has no labelled data"
            quality = quality.model_copy(update={"outcome": "unsupported", "reason": reason})
        elif record.outcome == "measured":
            labels = self._samples.labels
            started = time.perf_counter()
            predictions = self._predict(artifact_dir, record)
            accuracy = _accuracy(labels, predictions)
            accuracy |= {"time_s": time.perf_counter() - started, "artifact_digest": digest_of(record.files)}
            quality = quality.model_copy(update=accuracy)
        _write_predictions(out_dir / PREDICTIONS_FILE, labels, predictions)
        quality.write(out_dir / QUALITY_FILE)
        return quality

    @cached_property
    def _samples(self) -> Samples:
        from inferlab.data.base import Samples

        samples = Samples.read(self._path)
        if len(samples) == 0:
            raise DataError(f"{self._path} holds no samples")
        return samples

    def _predict(self, artifact_dir: Path, record: ArtifactRecord) -> np.ndarray:
        """Class indices int64 [samples] in the samples' order, at the artifact's largest batch size.

        Where an artifact takes any shape, texts of like length share a batch without the padding that all of them
        have: minilm in a fifth of the time, its logits the same to 2e-6.
        """
        import numpy as np

        target = TARGETS.get(record.target)
        samples = self._samples
        lengths = self._model.sample_lengths(samples.raw) if target.any_shape else None
        order = np.arange(len(samples)) if lengths is None else np.argsort(lengths, kind="stable")
        batch_size = max(record.batch_sizes)
        chunks = _chunks(samples.take(order), batch_size * BATCHES_AT_A_TIME)
        predictions = np.empty(len(samples), dtype=np.int64)
        done = 0
        what = f"evaluate {record.model} {record.optimization} on {record.target}"
        with ExitStack() as stack, progress(len(samples), what) as advance:
            workers = self._workers(target, len(chunks), stack)
            for worker, cores in workers:
                factory = SessionFactory(artifact_dir, self._model, cores, smallest_batch=batch_size)
                worker.send(Artifact(factory, batch_size, target.any_shape), "receiving an artifact")
            for worker, _ in workers:
                worker.receive(HANDSHAKE_TIMEOUT_S, "loading an artifact")
            for predicted in _in_turn([worker for worker, _ in workers], chunks):
                predictions[order[done : done + len(predicted)]] = predicted
                done += len(predicted)
                advance(len(predicted))
        return predictions

    def _workers(self, target: type[Target], most: int, stack: ExitStack) -> list[tuple[Child, tuple[int, ...]]]:
        """Workers for a target, each with its cores; those of an accelerator end with `stack`."""
        cores = sorted(os.sched_getaffinity(0))
        if not target.on_cpu:
            return [(_started(tuple(cores), stack), tuple(cores))]
        while len(self._cpu_workers) < min(len(cores), most):
            self._cpu_workers.append(_started((cores[len(self._cpu_workers)],), self._stack))
        alone: list[tuple[int, ...]] = [(core,) for core in cores]
        return list(zip(self._cpu_workers[:most], alone, strict=False))


@dataclass(frozen=True)
class Artifact:
    """What a worker is to load, in place of what it has."""

    factory: SessionFactory
    batch_size: int
    any_shape: bool


def evaluation_worker(connection: Connection) -> None:
    """Load what comes over the pipe and label what comes after it, chunk by chunk, until the pipe is closed."""
    keep_freed_memory()
    artifact: Artifact | None = None
    session: Session | None = None
    while True:
        message: Artifact | dict[str, np.ndarray] = connection.recv()
        if isinstance(message, Artifact):
            if session is not None:
                session.close()
            artifact, session = message, message.factory()
            connection.send("ready")
        else:
            assert artifact is not None and session is not None, "an artifact comes before samples"
            connection.send(_labelled(artifact, session, message))


def _labelled(artifact: Artifact, session: Session, raw: dict[str, np.ndarray]) -> np.ndarray:
    import numpy as np

    model = artifact.factory.model
    predicted = []
    for start in range(0, len(next(iter(raw.values()))), artifact.batch_size):
        batch = {name: array[start : start + artifact.batch_size] for name, array in raw.items()}
        inputs = model.preprocess(batch)
        if artifact.any_shape:
            inputs = model.without_padding(inputs)
        predicted.append(model.predictions(session.run(inputs)))
    return np.concatenate(predicted)


def _started(cores: tuple[int, ...], stack: ExitStack) -> Child:
    child = Child("evaluation worker", evaluation_worker, (), cores)
    stack.callback(child.stop, grace_s=TERMINATE_GRACE_S)
    return child


def _in_turn(children: Sequence[Child], chunks: Sequence[dict[str, np.ndarray]]) -> Iterator[Any]:
    """Send chunks to the children in turn and yield their answers in the order of the chunks."""
    pending: list[Child] = []
    for position, chunk in enumerate(chunks):
        if len(pending) == CHUNKS_AHEAD * len(children):
            yield pending.pop(0).receive(HANDSHAKE_TIMEOUT_S, "labelling samples")
        child = children[position % len(children)]
        child.send(chunk, "receiving samples")
        pending.append(child)
    for child in pending:
        yield child.receive(HANDSHAKE_TIMEOUT_S, "labelling samples")


def _chunks(samples: Samples, size: int) -> list[dict[str, np.ndarray]]:
    return [samples.take(slice(start, start + size)).raw for start in range(0, len(samples), size)]


def _accuracy(labels: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    """Accuracy with its Wilson interval."""
    from scipy.stats import binomtest

    correct = int((labels == predictions).sum())
    interval = binomtest(correct, len(labels)).proportion_ci(CONFIDENCE, method="wilson")
    return {
        "value": correct / len(labels),
        "low": float(interval.low),
        "high": float(interval.high),
        "samples": len(labels),
    }


def _write_predictions(path: Path, labels: np.ndarray, predictions: np.ndarray) -> None:
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    columns = {"index": np.arange(len(labels), dtype=np.int64), "label": labels, "prediction": predictions}
    table = pyarrow.table({name: pyarrow.array(values, type=pyarrow.int64()) for name, values in columns.items()})
    with whole_file(path) as part:
        parquet.write_table(table, part)
