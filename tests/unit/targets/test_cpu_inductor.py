"""One real compilation, which takes a C++ compiler ten seconds or more, shared by the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inferlab.errors import Unsupported
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord, Precision
from inferlab.targets import cpu_inductor
from inferlab.targets.base import Built
from inferlab.targets.compiling import compile_artifact
from inferlab.targets.cpu_inductor import CpuInductor, InductorSession, serving_threads
from inferlab.targets.instructions import flags_here, has_bf16
from inferlab.targets.loading import SessionFactory
from inferlab.targets.source import Source
from targets.tiny import TinyModel, expected, optimized

Artifact = tuple[Path, ArtifactRecord]


@pytest.fixture(scope="module")
def int8(optimized_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("inductor") / "int8-static"
    record = compile_artifact(TinyModel(), optimized("int8-static"), optimized_dir, "cpu-inductor", (4,), folder)
    return folder, record


@pytest.fixture
def generate(tiny: Model, optimized_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have Inductor write its code for a precision and not compile it."""
    monkeypatch.setitem(cpu_inductor.OPTIONS, "aot_inductor.package_cpp_only", True)

    def generated(precision: Precision, sizes: Sequence[int]) -> Built:
        return CpuInductor().compile(tiny, Source(tiny, optimized_dir), precision, None, sizes, tmp_path)

    return generated


def logits_of(artifact: Artifact, model: Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = SessionFactory(artifact[0], model, cores=(0,))()
    return session.run(inputs)["logits"]


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_the_session_gives_what_the_module_gives(tiny: Model, int8: Artifact, batch: int) -> None:
    inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
    logits = logits_of(int8, tiny, inputs)
    assert logits.shape == (batch, 4)
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)


def test_int8_engages(int8: Artifact) -> None:
    _, record = int8
    assert (record.outcome, record.provenance, set(record.files)) == ("measured", "hardware", {"batch-4.pt2"})
    assert set(record.versions) == {"torch", "torchao"}
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 2)
    assert record.engagement.low_precision_mac_share == 1.0


def test_a_larger_batch_is_refused(tiny: Model, int8: Artifact) -> None:
    with pytest.raises(ValueError, match="a batch of 5 is not allowed; allowed: 1 to 4"):
        logits_of(int8, tiny, tiny.preprocess(tiny.example_samples(5, seed=3)))


def test_outputs_belong_to_the_caller(tiny: Model, int8: Artifact) -> None:
    session = SessionFactory(int8[0], tiny, cores=(0,))()
    first = session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))["logits"]
    kept = first.copy()
    session.run(tiny.preprocess(tiny.example_samples(1, seed=4)))
    np.testing.assert_array_equal(first, kept)


def test_inputs_are_taken_as_they_come(tiny: Model, int8: Artifact) -> None:
    """Read-only, of another type, and not contiguous."""
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    picture = inputs["picture"]
    read_only = np.frombuffer(picture.tobytes(), dtype=np.float32).reshape(picture.shape)
    for array in (read_only, picture.astype(np.float64), np.asfortranarray(picture)):
        np.testing.assert_allclose(logits_of(int8, tiny, {"picture": array}), expected(tiny, inputs), atol=0.05)


def test_loading_sets_a_thread_for_each_core(tiny: Model, int8: Artifact) -> None:
    SessionFactory(int8[0], tiny, cores=(0, 1))()
    assert torch.get_num_threads() == 2


def test_a_closed_session_runs_nothing(tiny: Model, int8: Artifact) -> None:
    session = SessionFactory(int8[0], tiny, cores=(0,))()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))


def test_a_package_for_each_size(generate: Any, tmp_path: Path) -> None:
    built = generate("fp32", (1, 4))
    assert (built.batch_sizes, {path.name for path in tmp_path.iterdir()}) == ((1, 4), {"batch-1.pt2", "batch-4.pt2"})
    assert (built.operators.operators, built.operators.low_precision_operators) == (2, 0)
    assert built.operators.low_precision_mac_share == 0.0


def test_int8_dynamic_leaves_convolutions_as_they_are(generate: Any) -> None:
    operators = generate("int8-dynamic", (4,)).operators
    assert (operators.operators, operators.low_precision_operators) == (2, 1)
    convolution, product = 8 * 64 * 27, 8 * 4
    assert operators.low_precision_mac_share == product / (convolution + product)


@pytest.mark.skipif(not has_bf16(flags_here()), reason="this CPU has no bf16 instructions")
def test_bf16_computes_in_bf16(generate: Any) -> None:
    operators = generate("bf16", (4,)).operators
    assert (operators.operators, operators.low_precision_mac_share) == (2, 1.0)


class Bf16Loader:
    """A package whose outputs are its inputs."""

    def boxed_run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        assert [tensor.dtype for tensor in tensors] == [torch.bfloat16]
        return tensors


def test_bf16_answers_in_fp32(tiny: Model) -> None:
    session = InductorSession(tiny, {1: Bf16Loader()}, torch.bfloat16)
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    answer = session.run(inputs)["logits"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, inputs["picture"], rtol=0.01)


def test_bf16_is_unsupported_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_inductor.flags_here", lambda: frozenset({"avx2"}))
    assert "no bf16 instructions" in (CpuInductor().supports("bf16") or "")


def test_int8_without_calibration_is_unsupported(tiny: Model, optimized_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="needs calibration data"):
        CpuInductor().compile(tiny, Source(tiny, optimized_dir), "int8-static", None, (1,), tmp_path)


def test_weights_are_packed_for_as_many_threads_as_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_inductor, "physical_cores", lambda available: [[0], [1], [2]])
    with serving_threads():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


def test_without_a_compiler_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    here = CpuInductor().probe()
    assert not here.available
    assert here.reason == "Inductor needs a C++ compiler, and no-such-compiler is not on PATH"
