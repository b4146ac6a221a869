import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from inferlab.child import Child
from inferlab.errors import ArtifactError, MeasurementError, UserError
from inferlab.models.base import Model
from inferlab.models.noop import Noop
from inferlab.records import Accelerator
from inferlab.stand_ins.install import fake_neuron
from inferlab.targets.compiled_store import STORE
from inferlab.targets.compiling import compile_apart, compile_artifact
from inferlab.targets.evaluating import Artifact, evaluation_worker
from inferlab.targets.inf2_neuronx import Inf2NeuronX
from inferlab.targets.loading import SessionFactory
from inferlab.targets.neuron_compiler import Analysis, AnalysisError
from targets.conftest import Compile
from targets.tiny import TinyNetwork, expected, optimized, write_optimized

# torch_neuronx stands on TorchScript, which the torch that this environment has deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def test_without_the_tools_it_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    here = Inf2NeuronX().probe()
    assert (here.available, here.reason) == (False, "no AWS Neuron tools: neuron-ls is not on PATH")
    assert "inf2.xlarge" in here.hint
    assert Inf2NeuronX().accelerators() == ()


def test_a_device_without_its_package_is_unavailable(neuron_device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.inf2_neuronx.find_spec", lambda name: None)
    here = Inf2NeuronX().probe()
    assert here.reason == "1 Neuron device(s) are here, but torch_neuronx is not installed"


def test_the_device_is_described(neuron_device: Path) -> None:
    assert Inf2NeuronX().probe().available
    described = Accelerator(kind="neuron", name="Neuron device 0", cores=2, memory_mib=32768)
    assert Inf2NeuronX().accelerators() == (described,)


def test_compiled_loaded_and_run(neuron_device: Path, tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("inf2-neuronx")
    assert (record.outcome, record.provenance) == ("measured", "fake")
    assert set(record.files) == {"batch-1.pt", "batch-4.pt", "analysis.json"}
    assert record.versions == {"torch-neuronx": "2.9.0.0+fake", "neuronx-cc": "not installed"}
    assert record.engagement is not None
    assert record.engagement.operators_on_accelerator_share == 1.0
    session = SessionFactory(folder, tiny, cores=(0,))()
    for batch in (1, 3, 4):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=1e-6)
    with pytest.raises(ValueError, match="allowed: 1 to 4"):
        session.run(tiny.preprocess(tiny.example_samples(5, seed=3)))
    session.close()


def test_every_flag_of_the_compiler_is_explicit(neuron_device: Path, compile_tiny: Compile) -> None:
    compile_tiny("inf2-neuronx", "fp32", (1,))
    _, record = compile_tiny("inf2-neuronx", "bf16", (1,))
    common = {"--target": "inf2", "--model-type": "generic", "--optlevel": "2"}
    assert [
        (common | {"--auto-cast": "none"}, False),
        (common | {"--auto-cast": "matmult", "--auto-cast-type": "bf16"}, False),
    ] == sys.modules["torch_neuronx"].TRACES
    assert record.engagement is not None
    assert record.engagement.low_precision_operator_share == 1.0
    assert "--auto-cast matmult --auto-cast-type bf16" in record.engagement.note
    assert "what the flags ask for" in record.engagement.note


def test_fp8_is_a_cast_of_the_compiler_and_no_faster(neuron_device: Path, compile_tiny: Compile) -> None:
    _, record = compile_tiny("inf2-neuronx", "fp8", (1,))
    (trace,) = sys.modules["torch_neuronx"].TRACES
    assert (trace.flags["--auto-cast"], trace.flags["--auto-cast-type"]) == ("matmult", "fp8_e4m3")
    assert record.engagement is not None
    assert record.engagement.low_precision_mac_share == 1.0
    assert "at the rate of bf16" in record.engagement.note


def test_the_analysis_of_operators_is_engagement(neuron_device: Path, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("inf2-neuronx")
    analysis = json.loads((folder / "analysis.json").read_text())
    assert analysis["supported"] == analysis["operators"] > 3
    assert record.engagement is not None
    assert f"neuronx-cc takes {analysis['operators']} of {analysis['operators']} operators" in record.engagement.note


def test_the_manifest_has_size_and_hash_of_every_neff(neuron_device: Path, compile_tiny: Compile) -> None:
    _, record = compile_tiny("inf2-neuronx")
    assert [binary.batch_size for binary in record.binaries] == [1, 4]
    assert all(binary.size_bytes > 0 for binary in record.binaries)
    assert len({binary.sha256 for binary in record.binaries}) == 2


def test_what_was_compiled_before_is_taken(neuron_device: Path, compile_tiny: Compile) -> None:
    _, first = compile_tiny("inf2-neuronx", "fp32", (1,))
    _, second = compile_tiny("inf2-neuronx", "fp32", (1, 4))
    assert len(sys.modules["torch_neuronx"].TRACES) == 2
    assert second.files["batch-1.pt"] == first.files["batch-1.pt"]
    assert second.engagement is not None
    assert f"batch 1 compiled before and taken from {STORE}" in second.engagement.note
    assert first.build_time_s is not None
    assert second.build_time_s is not None
    assert second.build_time_s > first.build_time_s  # the time of both, one of them spent before


def test_an_analysis_that_failed_is_asked_for_again(
    neuron_device: Path, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object) -> None:
        raise AnalysisError("no device here")

    with monkeypatch.context() as patch:
        patch.setattr("inferlab.targets.neuron_compiler.analyzed", failing)
        folder, record = compile_tiny("inf2-neuronx", "fp32", (1,))
    assert record.engagement is not None
    assert "gave no answer: no device here" in record.engagement.note
    assert Analysis.read(folder / "analysis.json").problem == "no device here"
    _, again = compile_tiny("inf2-neuronx", "fp32", (1,))
    assert again.engagement is not None
    assert "gave no answer" not in again.engagement.note


def test_another_compiler_compiles_again(
    neuron_device: Path, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_tiny("inf2-neuronx", "fp32", (1,))
    monkeypatch.setattr("inferlab.targets.inf2_neuronx.installed_version", lambda name: "2.27.5334.0")
    compile_tiny("inf2-neuronx", "fp32", (1,))
    assert len(sys.modules["torch_neuronx"].TRACES) == 2


def test_a_damaged_file_of_the_store_is_named(neuron_device: Path, compile_tiny: Compile) -> None:
    compile_tiny("inf2-neuronx", "fp32", (1,))
    for victim in STORE.glob("*/compiled"):
        victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="compiled is damaged"):
        compile_tiny("inf2-neuronx", "fp32", (1,))


def test_a_host_without_the_device_compiles_for_one_that_has_it(
    neuron_compiler: None, tiny: Model, optimized_dir: Path, tmp_path: Path
) -> None:
    ahead = compile_apart(tiny, optimized(), optimized_dir, "inf2-neuronx", (1, 2), tmp_path / "ahead")
    assert (ahead.outcome, ahead.files) == ("unavailable", {})
    assert "neuron-ls is not on PATH; compiled for another machine in" in ahead.reason
    assert str(STORE) in ahead.hint
    assert [path.name for path in (tmp_path / "ahead").iterdir()] == ["artifact.json"]
    assert len(list(STORE.iterdir())) == 3  # two traces and the analysis


def test_an_artifact_that_was_brought_along_is_taken_where_the_device_is(
    neuron_compiler: None, tiny: Model, optimized_dir: Path, tmp_path: Path
) -> None:
    compile_apart(tiny, optimized(), optimized_dir, "inf2-neuronx", (1, 2), tmp_path / "ahead")
    with fake_neuron(tmp_path / "chip"):
        record = compile_apart(tiny, optimized(), optimized_dir, "inf2-neuronx", (1, 2), tmp_path / "here")
        assert (record.outcome, record.provenance) == ("measured", "fake")
        assert record.engagement is not None
        assert "batch 1, 2 compiled before" in record.engagement.note
        session = SessionFactory(tmp_path / "here", tiny, cores=(0,))()
        inputs = tiny.preprocess(tiny.example_samples(2, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=1e-6)


class Sorting(TinyNetwork):
    """Has an operator that the compiler does not take."""

    def forward(self, picture: Tensor) -> Tensor:
        return super().forward(picture).sort(dim=1).values


def test_an_operator_that_the_compiler_refuses_is_the_reason(
    neuron_device: Path, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("targets.tiny.TinyModel.architecture", lambda self: Sorting().eval())
    _, record = compile_tiny("inf2-neuronx")
    assert (record.outcome, record.files) == ("unsupported", {})
    assert "aten::sort" in record.reason


def test_what_computes_nothing_is_unsupported(neuron_device: Path, tmp_path: Path) -> None:
    noop = Noop(name="noop", family="noop")
    write_optimized(noop, tmp_path / "optimized")
    optimization = optimized(model="noop")
    record = compile_artifact(noop, optimization, tmp_path / "optimized", "inf2-neuronx", (1,), tmp_path / "artifact")
    assert (record.outcome, record.files) == ("unsupported", {})
    assert "no convolution or matrix product" in record.reason


def test_a_core_belongs_to_one_process(neuron_device: Path, compile_tiny: Compile, tiny: Model) -> None:
    folder, _ = compile_tiny("inf2-neuronx", "fp32", (1,))
    session = SessionFactory(folder, tiny, cores=(0,))()
    cores = tuple(sorted(os.sched_getaffinity(0)))

    def other(environment: dict[str, str]) -> Any:
        child = Child("another process", evaluation_worker, (), cores[:1], environment=environment)
        try:
            child.send(Artifact(SessionFactory(folder, tiny, cores[:1]), 1, False), "receiving an artifact")
            return child.receive(60, "loading an artifact")
        finally:
            child.stop(grace_s=1)

    with pytest.raises(MeasurementError, match=r"NeuronCore\(s\) not available - Requested:nc0-nc0 Available:0"):
        other(Inf2NeuronX().placement((0,)).environment)
    assert other(Inf2NeuronX().placement((1,)).environment) == "ready"
    session.close()


def test_on_several_cores_each_takes_a_part_of_a_batch(
    neuron_device: Path, compile_tiny: Compile, tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0-1")  # compiling takes the cores of this process, too
    folder, _ = compile_tiny("inf2-neuronx", "fp32", (1, 2, 4))
    session = SessionFactory(folder, tiny, cores=(0,))()
    for batch in (1, 3, 4):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=1e-6)
    assert [(neuron_device / f"core-{core}").read_text() for core in (0, 1)] == [f"{os.getpid()} in use"] * 2
    with pytest.raises(ValueError, match="allowed: 1 to 4"):  # size 4 was not loaded: a core's share is 2
        session.run(tiny.preprocess(tiny.example_samples(5, seed=3)))


def test_cores_of_one_process_are_neighbours() -> None:
    assert Inf2NeuronX().placement((2, 3)).environment == {"NEURON_RT_VISIBLE_CORES": "2-3"}
    with pytest.raises(UserError, match="'0,2' is not allowed; allowed: a range"):
        Inf2NeuronX().placement((0, 2))


def test_a_process_that_nobody_gave_cores_takes_the_first_alone(neuron_device: Path, compile_tiny: Compile) -> None:
    compile_tiny("inf2-neuronx")
    assert os.environ["NEURON_RT_VISIBLE_CORES"] == "0"
    assert sys.modules["torch_neuronx"].visible_cores() == [0]


def test_cores_that_the_environment_names_are_kept(
    neuron_device: Path, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "1")
    compile_tiny("inf2-neuronx")
    assert sys.modules["torch_neuronx"].visible_cores() == [1]


def test_flags_of_the_environment_are_not_compiled_with(
    neuron_device: Path, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_CC_FLAGS", "--auto-cast all")
    compile_tiny("inf2-neuronx", "fp32", (1,))
    assert "NEURON_CC_FLAGS" not in os.environ


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic", "weight-only"])
def test_int8_is_unsupported(neuron_device: Path, compile_tiny: Compile, precision: str) -> None:
    _, record = compile_tiny("inf2-neuronx", precision)
    assert record.outcome == "unsupported"
    assert "torch_neuronx.trace" in record.reason
