import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from statsmodels.stats.proportion import proportion_confint

from inferlab.child import Child
from inferlab.data.base import Samples
from inferlab.errors import ArtifactError, DataError
from inferlab.files import digest_of
from inferlab.models.base import Model
from inferlab.records import QualityRecord
from inferlab.targets.evaluating import BATCHES_AT_A_TIME, Evaluator
from targets.conftest import Compile
from targets.tiny import Unlabelled, write_prepared

COUNT = 4 * BATCHES_AT_A_TIME * 2 + 3
"""More chunks than workers, and a last batch that is not full."""


def evaluate(artifact: Path, model: Model, prepared: Path, out: Path) -> QualityRecord:
    with Evaluator(model, prepared) as evaluator:
        return evaluator.evaluate(artifact, out)


def test_quality_of_an_artifact(tiny: Model, compile_tiny: Compile, tmp_path: Path) -> None:
    artifact, record = compile_tiny("cpu-openvino")
    samples = write_prepared(tiny, tmp_path / "prepared", COUNT)
    wrong = samples.labels.copy()
    wrong[:13] = (wrong[:13] + 1) % 4
    Samples(samples.raw, wrong).write(tmp_path / "prepared" / "evaluation.npz")

    quality = evaluate(artifact, tiny, tmp_path / "prepared", tmp_path / "quality")

    assert quality == QualityRecord.read(tmp_path / "quality" / "quality.json")
    assert (quality.outcome, quality.metric, quality.samples) == ("measured", "accuracy", COUNT)
    assert quality.value == (COUNT - 13) / COUNT
    interval = proportion_confint(COUNT - 13, COUNT, alpha=0.05, method="wilson")
    assert (quality.low, quality.high) == pytest.approx(interval)
    assert quality.artifact_digest == digest_of(record.files)
    table = parquet.read_table(tmp_path / "quality" / "predictions.parquet").to_pydict()
    assert table == {"index": list(range(COUNT)), "label": wrong.tolist(), "prediction": samples.labels.tolist()}


def test_predictions_keep_the_order_of_the_samples_where_texts_are_sorted(
    tiny: Model, compile_tiny: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, _ = compile_tiny("cpu-eager")
    samples = write_prepared(tiny, tmp_path / "prepared", COUNT)
    lengths = np.random.default_rng(0).permutation(COUNT)
    monkeypatch.setattr(type(tiny), "sample_lengths", lambda self, raw: lengths)
    assert evaluate(artifact, tiny, tmp_path / "prepared", tmp_path / "quality").value == 1.0
    table = parquet.read_table(tmp_path / "quality" / "predictions.parquet")
    assert table["prediction"].to_pylist() == samples.labels.tolist()


def test_a_model_without_labelled_data_is_unsupported(compile_tiny: Compile, tmp_path: Path) -> None:
    artifact, _ = compile_tiny("cpu-eager")
    quality = evaluate(artifact, Unlabelled(), tmp_path / "nowhere", tmp_path / "quality")
    assert (quality.outcome, quality.reason) == ("unsupported", "tiny has no labelled data")
    assert parquet.read_table(tmp_path / "quality" / "predictions.parquet").num_rows == 0


def test_an_artifact_that_was_not_built_keeps_its_outcome(tiny: Model, compile_tiny: Compile, tmp_path: Path) -> None:
    artifact, record = compile_tiny("cpu-eager", "int8-static")
    quality = evaluate(artifact, tiny, tmp_path / "nowhere", tmp_path / "quality")
    assert (quality.outcome, quality.reason, quality.value) == ("unsupported", record.reason, None)


def test_a_damaged_artifact_is_named_from_the_worker(tiny: Model, compile_tiny: Compile, tmp_path: Path) -> None:
    artifact, _ = compile_tiny("cpu-eager")
    (artifact / "module.safetensors").write_bytes(b"damaged")
    write_prepared(tiny, tmp_path / "prepared", 4)
    with pytest.raises(ArtifactError, match=r"module\.safetensors is damaged"):
        evaluate(artifact, tiny, tmp_path / "prepared", tmp_path / "quality")
    assert not (tmp_path / "quality").exists()


def test_no_samples_are_an_error(tiny: Model, compile_tiny: Compile, tmp_path: Path) -> None:
    artifact, _ = compile_tiny("cpu-eager")
    with pytest.raises(DataError, match=r"evaluation\.npz is missing"):
        evaluate(artifact, tiny, tmp_path / "nowhere", tmp_path / "quality")
    write_prepared(tiny, tmp_path / "prepared", 0)
    with pytest.raises(DataError, match=r"evaluation\.npz holds no samples"):
        evaluate(artifact, tiny, tmp_path / "prepared", tmp_path / "quality")


def test_one_set_of_workers_labels_for_every_cpu_target(
    tiny: Model, compile_tiny: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prepared(tiny, tmp_path / "prepared", COUNT)
    started: list[Child] = []

    class Counted(Child):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            started.append(self)

    monkeypatch.setattr("inferlab.targets.evaluating.Child", Counted)
    artifacts = [compile_tiny(target)[0] for target in ("cpu-eager", "cpu-openvino", "cpu-eager")]
    with Evaluator(tiny, tmp_path / "prepared") as evaluator:
        values = [evaluator.evaluate(artifact, tmp_path / "quality").value for artifact in artifacts]
    assert values == [1.0, 1.0, 1.0]
    assert len(started) == len(os.sched_getaffinity(0))
    assert not any(child.alive for child in started)


def test_an_accelerator_is_loaded_in_a_process_that_ends_with_its_artifact(
    tiny: Model, compile_tiny: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prepared(tiny, tmp_path / "prepared", COUNT)
    monkeypatch.setattr("inferlab.targets.cpu_eager.CpuEager.on_cpu", False)
    stopped: list[Child] = []
    stop = Child.stop
    monkeypatch.setattr(Child, "stop", lambda self, grace_s: (stop(self, grace_s), stopped.append(self)))
    artifact, _ = compile_tiny("cpu-eager")
    with Evaluator(tiny, tmp_path / "prepared") as evaluator:
        assert evaluator.evaluate(artifact, tmp_path / "quality").value == 1.0
        assert [child.alive for child in stopped] == [False]
