"""Quality of one artifact: every evaluation sample through the very session that is served."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.child import HANDSHAKE_TIMEOUT_S, TERMINATE_GRACE_S, Child, keep_freed_memory
from inferlab.errors import DataError
from inferlab.models.base import Model
from inferlab.progress import progress
from inferlab.records import ArtifactRecord, QualityRecord, digest_of, whole_file
from inferlab.targets.base import TARGETS
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


def evaluate(artifact_dir: Path, model: Model, prepared_dir: Path, out_dir: Path) -> QualityRecord:
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
        metric=model.quality_metric,
    )
    labels = predictions = np.empty(0, dtype=np.int64)
    if record.outcome == "measured" and model.quality_metric is None:
        quality = quality.model_copy(update={"outcome": "unsupported", "reason": f"{model.name} has no labelled data"})
    elif record.outcome == "measured":
        from inferlab.data.base import Samples

        samples = Samples.read(prepared_dir / EVALUATION_FILE)
        if len(samples) == 0:
            raise DataError(f"{prepared_dir / EVALUATION_FILE} holds no samples")
        labels = samples.labels
        started = time.perf_counter()
        predictions = predict(artifact_dir, record, model, samples)
        accuracy = _accuracy(labels, predictions)
        accuracy |= {"time_s": time.perf_counter() - started, "artifact_digest": digest_of(record.files)}
        quality = quality.model_copy(update=accuracy)
    _write_predictions(out_dir / PREDICTIONS_FILE, labels, predictions)
    quality.write(out_dir / QUALITY_FILE)
    return quality


def predict(artifact_dir: Path, record: ArtifactRecord, model: Model, samples: Samples) -> np.ndarray:
    """Class indices int64 [samples] in the samples' order, at the artifact's largest batch size.

    On a CPU one process with one thread for each core: 2 cores labelled faster than with 2 threads in one process
    (minilm, eager: 16 ms instead of 21 ms a text). Other devices belong to one process. Where an artifact takes any
    shape, texts of like length share a batch without the padding that all of them have: minilm in a fifth of the time,
    its logits the same to 2e-6.
    """
    import numpy as np

    target = TARGETS.get(record.target)
    lengths = model.sample_lengths(samples.raw) if target.any_shape else None
    order = np.arange(len(samples)) if lengths is None else np.argsort(lengths, kind="stable")
    batch_size = max(record.batch_sizes)
    chunks = _chunks(samples.take(order), batch_size * BATCHES_AT_A_TIME)
    cores = sorted(os.sched_getaffinity(0))
    groups = [(core,) for core in cores] if target.on_cpu else [tuple(cores)]
    predictions = np.empty(len(samples), dtype=np.int64)
    done = 0
    with ExitStack() as workers, progress(len(samples), f"evaluate {record.model} on {record.target}") as advance:
        children = []
        for group in groups[: len(chunks)]:
            factory = SessionFactory(artifact_dir, model, group)
            child = Child("evaluation worker", evaluation_worker, (factory, batch_size, target.any_shape), group)
            workers.callback(child.stop, grace_s=TERMINATE_GRACE_S)
            children.append(child)
        for predicted in _in_turn(children, chunks):
            predictions[order[done : done + len(predicted)]] = predicted
            done += len(predicted)
            advance(len(predicted))
    return predictions


def evaluation_worker(connection: Connection, factory: SessionFactory, batch_size: int, any_shape: bool) -> None:
    """Label what comes over the pipe, chunk by chunk, until it is closed."""
    import numpy as np

    keep_freed_memory()
    model = factory.model
    session = factory()
    while True:
        raw: dict[str, np.ndarray] = connection.recv()
        count = len(next(iter(raw.values())))
        predicted = []
        for start in range(0, count, batch_size):
            inputs = model.preprocess({name: array[start : start + batch_size] for name, array in raw.items()})
            if any_shape:
                inputs = model.without_padding(inputs)
            predicted.append(model.predictions(session.run(inputs)))
        connection.send(np.concatenate(predicted))


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
