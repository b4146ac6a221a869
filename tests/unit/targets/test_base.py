import subprocess
import sys
from pathlib import Path

import pytest

from inferlab.errors import UnknownNameError
from inferlab.targets.base import TARGETS, installed_version
from inferlab.targets.cpu_eager import CpuEager
from inferlab.targets.inf2_neuronx import Inf2NeuronX


def test_every_target_is_registered_under_its_own_name() -> None:
    assert {"cpu-inductor", "cpu-onnxruntime", "cpu-openvino", "cuda-inductor", "inf2-neuronx"} <= set(TARGETS.names())
    assert all(TARGETS.get(name).name == name for name in TARGETS.names())


def test_every_cpu_target_refuses_fp16_before_building() -> None:
    """A product of it may hold a process for minutes."""
    targets = [TARGETS.get(name) for name in TARGETS]
    assert all("fp16" in (target().supports("fp16") or "") for target in targets if target.on_cpu)


def test_a_rare_precision_is_refused_by_every_target_that_does_not_name_it() -> None:
    refusals = {name: TARGETS.get(name)().refusal("fp8") for name in TARGETS}
    assert [name for name, refusal in refusals.items() if refusal is None] == ["inf2-neuronx"]
    assert refusals["cpu-eager"] == "no route to fp8 is built into cpu-eager"


def test_an_unknown_target_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cpu-openvino'"):
        TARGETS.get("cpu-openvin")


def test_probing_every_target_imports_no_engine() -> None:
    code = (
        "import sys; from inferlab.targets.base import TARGETS;"
        "[(TARGETS.get(n)().probe(), TARGETS.get(n)().supports('fp32')) for n in TARGETS.names()];"
        "print(sorted({'torch', 'openvino', 'nncf', 'onnxruntime', 'onnx', 'torchao', 'numpy'} & set(sys.modules)))"
    )
    path = str(Path(__file__).parents[3] / "src")
    environment = {"PYTHONPATH": path, "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_provenance_is_hardware_where_the_distribution_owns_the_module() -> None:
    assert CpuEager().provenance() == "hardware"


def test_provenance_is_fake_where_another_file_answers(neuron_device: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0")
    assert Inf2NeuronX().provenance() == "fake"


def test_provenance_is_fake_where_an_installed_engine_is_shadowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("__version__ = 'shadow'\n")
    real = sys.modules["torch"]
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert CpuEager().provenance() == "fake"
    finally:
        sys.modules["torch"] = real


def test_version_of_what_is_not_installed() -> None:
    assert installed_version("no-such-distribution") == "not installed"
    assert installed_version("no-such-distribution", "no_such_module") == "not installed"
    assert installed_version("no-such-distribution", "inferlab") == "0.1.0"
