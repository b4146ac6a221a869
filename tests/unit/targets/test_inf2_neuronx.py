import os
import sys
from pathlib import Path

import numpy as np
import pytest

from inferlab.models.base import Model
from inferlab.records import Accelerator
from inferlab.targets.inf2_neuronx import Inf2NeuronX, compiler_arguments
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.tiny import expected

# torch_neuronx stands on TorchScript, which the torch that this environment has deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def fake_tool(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "neuron-ls"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_the_tools_it_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    here = Inf2NeuronX().probe()
    assert (here.available, here.reason) == (False, "no AWS Neuron tools: neuron-ls is not on PATH")
    assert "inf2.xlarge" in here.hint
    assert Inf2NeuronX().accelerators() == ()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no driver >&2; exit 1", "neuron-ls failed: no driver"),
        ("echo nonsense", "neuron-ls gave no JSON"),
        ("echo '[]'", "neuron-ls lists no Neuron device"),
    ],
)
def test_what_the_tool_says_is_the_reason(
    script: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_tool(tmp_path, monkeypatch, script)
    assert Inf2NeuronX().probe().reason.startswith(reason)


def test_a_device_without_its_package_is_unavailable(neuron_device: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.inf2_neuronx.find_spec", lambda name: None)
    here = Inf2NeuronX().probe()
    assert here.reason == "1 Neuron device(s) are here, but torch_neuronx is not installed"


def test_the_device_is_described(neuron_device: None) -> None:
    assert Inf2NeuronX().probe().available
    described = Accelerator(kind="neuron", name="Neuron device 0", cores=2, memory_mib=32768)
    assert Inf2NeuronX().accelerators() == (described,)


def test_compiled_loaded_and_run(neuron_device: None, tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("inf2-neuronx")
    assert (record.outcome, record.provenance) == ("measured", "fake")
    assert set(record.files) == {"batch-1.pt", "batch-4.pt"}
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


def test_every_flag_of_the_compiler_is_explicit(neuron_device: None, compile_tiny: Compile) -> None:
    compile_tiny("inf2-neuronx", "fp32", (1,))
    _, record = compile_tiny("inf2-neuronx", "bf16", (1,))
    common = {"--target": "inf2", "--model-type": "generic", "--optlevel": "2"}
    assert [
        common | {"--auto-cast": "none"},
        common | {"--auto-cast": "matmult", "--auto-cast-type": "bf16"},
    ] == sys.modules["torch_neuronx"].TRACES
    assert record.engagement is not None
    assert "--auto-cast matmult --auto-cast-type bf16" in record.engagement.note
    assert compiler_arguments("fp32", attention=True)[3] == "transformer"


def test_a_core_is_claimed_before_the_engine_is_imported(neuron_device: None, compile_tiny: Compile) -> None:
    compile_tiny("inf2-neuronx")
    assert sys.modules["torch_neuronx"].VISIBLE_CORES == "0"
    assert os.environ["NEURON_RT_VISIBLE_CORES"] == "0"


def test_cores_that_the_environment_names_are_kept(
    neuron_device: None, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "1")
    compile_tiny("inf2-neuronx")
    assert sys.modules["torch_neuronx"].VISIBLE_CORES == "1"


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic", "weight-only"])
def test_int8_is_unsupported(neuron_device: None, compile_tiny: Compile, precision: str) -> None:
    _, record = compile_tiny("inf2-neuronx", precision)
    assert record.outcome == "unsupported"
    assert "torch_neuronx.trace" in record.reason
