"""Real compilations, each of which takes a C++ compiler seconds: one a precision, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inferlab.errors import Unsupported
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord, Precision
from inferlab.targets.compiling import compile_artifact
from inferlab.targets.cpu_inductor import CpuInductor
from inferlab.targets.instructions import flags_here, has_bf16
from inferlab.targets.loading import SessionFactory
from inferlab.targets.source import Source
from targets.tiny import TinyModel, expected, optimized

Artifact = tuple[Path, ArtifactRecord]


def compiled(
    precision: Precision, batch_sizes: tuple[int, ...], optimized_dir: Path, factory: pytest.TempPathFactory
) -> Artifact:
    folder = factory.mktemp("inductor") / precision
    record = compile_artifact(TinyModel(), optimized(precision), optimized_dir, "cpu-inductor", batch_sizes, folder)
    return folder, record


@pytest.fixture(scope="module")
def fp32(optimized_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled("fp32", (1, 4), optimized_dir, tmp_path_factory)


def logits_of(artifact: Artifact, model: Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = SessionFactory(artifact[0], model, cores=(0,))()
    return session.run(inputs)["logits"]


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_the_session_gives_what_the_module_gives(tiny: Model, fp32: Artifact, batch: int) -> None:
    inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
    logits = logits_of(fp32, tiny, inputs)
    assert logits.shape == (batch, 4)
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=1e-5)


def test_a_package_for_each_size_with_what_inductor_lowered(fp32: Artifact) -> None:
    _, record = fp32
    assert (record.outcome, record.provenance) == ("measured", "hardware")
    assert set(record.files) == {"batch-1.pt2", "batch-4.pt2"}
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 0)
    assert record.engagement.low_precision_mac_share == 0.0


def test_a_larger_batch_is_refused(tiny: Model, fp32: Artifact) -> None:
    with pytest.raises(ValueError, match="a batch of 5 is not allowed; allowed: 1 to 4"):
        logits_of(fp32, tiny, tiny.preprocess(tiny.example_samples(5, seed=3)))


def test_outputs_belong_to_the_caller(tiny: Model, fp32: Artifact) -> None:
    session = SessionFactory(fp32[0], tiny, cores=(0,))()
    first = session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))["logits"]
    kept = first.copy()
    session.run(tiny.preprocess(tiny.example_samples(1, seed=4)))
    np.testing.assert_array_equal(first, kept)


def test_inputs_are_taken_as_they_come(tiny: Model, fp32: Artifact) -> None:
    """Read-only, of another type, and not contiguous."""
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    picture = inputs["picture"]
    read_only = np.frombuffer(picture.tobytes(), dtype=np.float32).reshape(picture.shape)
    for array in (read_only, picture.astype(np.float64), np.asfortranarray(picture)):
        np.testing.assert_allclose(logits_of(fp32, tiny, {"picture": array}), expected(tiny, inputs), atol=1e-5)


def test_loading_sets_a_thread_for_each_core(tiny: Model, fp32: Artifact) -> None:
    SessionFactory(fp32[0], tiny, cores=(0, 1))()
    assert torch.get_num_threads() == 2


def test_a_closed_session_runs_nothing(tiny: Model, fp32: Artifact) -> None:
    session = SessionFactory(fp32[0], tiny, cores=(0,))()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))


def test_int8_engages_and_keeps_the_labels(
    tiny: Model, optimized_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifact = compiled("int8-static", (4,), optimized_dir, tmp_path_factory)
    engagement = artifact[1].engagement
    assert engagement is not None
    assert (engagement.operators, engagement.low_precision_operators) == (2, 2)
    assert engagement.low_precision_mac_share == 1.0
    assert set(artifact[1].versions) == {"torch", "torchao"}
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    np.testing.assert_allclose(logits_of(artifact, tiny, inputs), expected(tiny, inputs), atol=0.05)


def test_int8_dynamic_leaves_convolutions_as_they_are(
    tiny: Model, optimized_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifact = compiled("int8-dynamic", (4,), optimized_dir, tmp_path_factory)
    engagement = artifact[1].engagement
    assert engagement is not None
    assert (engagement.operators, engagement.low_precision_operators) == (2, 1)
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    np.testing.assert_allclose(logits_of(artifact, tiny, inputs), expected(tiny, inputs), atol=0.05)


@pytest.mark.skipif(not has_bf16(flags_here()), reason="this CPU has no bf16 instructions")
def test_bf16_computes_in_bf16_and_answers_in_fp32(
    tiny: Model, optimized_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifact = compiled("bf16", (4,), optimized_dir, tmp_path_factory)
    assert artifact[1].engagement is not None
    assert artifact[1].engagement.low_precision_mac_share == 1.0
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    logits = logits_of(artifact, tiny, inputs)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)


def test_bf16_is_unsupported_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_inductor.flags_here", lambda: frozenset({"avx2"}))
    assert "no bf16 instructions" in (CpuInductor().supports("bf16") or "")


def test_int8_without_calibration_is_unsupported(tiny: Model, optimized_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="needs calibration data"):
        CpuInductor().compile(tiny, Source(tiny, optimized_dir), "int8-static", None, (1,), tmp_path)


def test_without_a_compiler_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    here = CpuInductor().probe()
    assert not here.available
    assert here.reason == "Inductor needs a C++ compiler, and no-such-compiler is not on PATH"
