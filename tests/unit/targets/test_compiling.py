import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from inferlab.errors import ArtifactError, UnknownNameError, Unsupported
from inferlab.files import check_digests
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord
from inferlab.targets.base import TARGETS, Availability, Built, Target
from inferlab.targets.compiling import compile_apart, compile_artifact
from inferlab.targets.operators import OperatorEvidence
from targets.conftest import Compile
from targets.tiny import optimized


class Stub(Target):
    """Builds one file, unless told to refuse or fail half-way."""

    name: ClassVar[str] = "stub"
    engine: ClassVar[dict[str, str]] = {"torch": "torch"}
    error: ClassVar[Exception | None] = None
    available: ClassVar[bool] = True

    def probe(self) -> Availability:
        return Availability(
            available=self.available, reason="" if self.available else "not plugged in", hint="plug it in"
        )

    def supports(self, precision: str) -> str | None:
        return "only fp32" if precision != "fp32" else None

    def compile(self, model: Model, *arguments: Any) -> Built:
        batch_sizes: Sequence[int] = arguments[3]
        (arguments[4] / "folder").mkdir()
        (arguments[4] / "folder" / "engine.bin").write_bytes(b"1234")
        if self.error is not None:
            raise self.error
        evidence = OperatorEvidence(operators=1, low_precision_operators=0, low_precision_mac_share=0.0)
        return Built(batch_sizes=tuple(batch_sizes), operators=evidence, versions={"torch": "2"})

    def load(self, *arguments: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    TARGETS.names()
    monkeypatch.setitem(TARGETS._things, "stub", Stub)
    monkeypatch.setattr(Stub, "error", None)
    monkeypatch.setattr(Stub, "available", True)
    return Stub


def test_the_manifest_describes_what_was_built(
    stub: type[Stub], tiny: Model, optimized_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "artifact"
    record = compile_artifact(tiny, optimized(), optimized_dir, "stub", [4, 1], out)
    assert record == ArtifactRecord.read(out / "artifact.json")
    assert (record.outcome, record.size_bytes, record.batch_sizes) == ("measured", 4, (1, 4))
    assert list(record.files) == ["folder/engine.bin"]
    check_digests(out, record.files)
    assert record.build_time_s is not None
    assert record.build_time_s > 0


def test_a_new_build_replaces_the_whole_folder(
    stub: type[Stub], tiny: Model, optimized_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "artifact"
    out.mkdir()
    (out / "old.bin").write_bytes(b"old")
    (tmp_path / ".artifact.killed").mkdir()
    compile_artifact(tiny, optimized(), optimized_dir, "stub", [1], out)
    assert not (out / "old.bin").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_a_failed_build_leaves_the_old_folder_and_no_other(
    stub: type[Stub], tiny: Model, optimized_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "artifact"
    compile_artifact(tiny, optimized(), optimized_dir, "stub", [1], out)
    before = (out / "artifact.json").read_bytes()
    monkeypatch.setattr(Stub, "error", RuntimeError("the compiler crashed"))
    with pytest.raises(RuntimeError, match="the compiler crashed"):
        compile_artifact(tiny, optimized(), optimized_dir, "stub", [1], out)
    assert (out / "artifact.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_a_refusal_while_building_leaves_a_reason_and_no_files(
    stub: type[Stub], tiny: Model, optimized_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stub, "error", Unsupported("no such instruction"))
    out = tmp_path / "artifact"
    record = compile_artifact(tiny, optimized(), optimized_dir, "stub", [1], out)
    assert (record.outcome, record.reason, record.files) == ("unsupported", "no such instruction", {})
    assert [path.name for path in out.rglob("*")] == ["artifact.json"]


def test_what_is_not_here_is_unavailable_before_the_optimized_model_is_read(
    stub: type[Stub], tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stub, "available", False)
    record = compile_artifact(tiny, optimized(), tmp_path / "nowhere", "stub", [1], tmp_path / "artifact")
    assert (record.outcome, record.reason, record.hint) == ("unavailable", "not plugged in", "plug it in")
    assert record.engagement is None


def test_a_precision_that_the_target_refuses_is_unsupported(stub: type[Stub], tiny: Model, tmp_path: Path) -> None:
    record = compile_artifact(tiny, optimized("bf16"), tmp_path / "nowhere", "stub", [1], tmp_path / "artifact")
    assert (record.outcome, record.reason) == ("unsupported", "only fp32")


def test_an_optimization_that_the_model_refused_stays_refused(stub: type[Stub], tiny: Model, tmp_path: Path) -> None:
    optimization = optimized(outcome="unsupported", reason="tiny has no weights to prune")
    record = compile_artifact(tiny, optimization, tmp_path / "nowhere", "stub", [1], tmp_path / "artifact")
    assert (record.outcome, record.reason) == ("unsupported", "tiny has no weights to prune")


def test_a_missing_optimized_model_is_an_error(stub: type[Stub], tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"program\.pt2 is missing"):
        compile_artifact(tiny, optimized(), tmp_path / "nowhere", "stub", [1], tmp_path / "artifact")


def test_an_unknown_target_is_an_error(tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown target 'cpu-eage'"):
        compile_artifact(tiny, optimized(), tmp_path, "cpu-eage", [1], tmp_path / "artifact")


def test_here_accelerators_are_unavailable_with_reason_and_hint(compile_tiny: Compile) -> None:
    for target in ("cuda-inductor", "inf2-neuronx"):
        _, record = compile_tiny(target)
        if record.outcome == "measured":
            pytest.skip(f"{target} is here")
        assert record.outcome == "unavailable"
        assert record.reason
        assert record.hint


def test_an_accelerator_is_compiled_for_in_another_process(
    tiny: Model, optimized_dir: Path, neuron_device: None, tmp_path: Path
) -> None:
    record = compile_apart(tiny, optimized(), optimized_dir, "inf2-neuronx", (1, 2), tmp_path / "apart")
    assert (record.outcome, record.provenance, record.batch_sizes) == ("measured", "fake", (1, 2))
    assert record == ArtifactRecord.read(tmp_path / "apart" / "artifact.json")
    assert "torch_neuronx" not in sys.modules


def test_what_fails_in_the_other_process_is_raised_here(
    tiny: Model, optimized_dir: Path, neuron_device: None, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=r"program\.pt2 is missing"):
        compile_apart(tiny, optimized(), tmp_path / "nowhere", "inf2-neuronx", (1,), tmp_path / "apart")
    assert not (tmp_path / "apart").exists()
