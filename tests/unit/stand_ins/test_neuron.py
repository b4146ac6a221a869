"""The stand-ins refuse what compiler, runtime and tools are documented to refuse."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inferlab.stand_ins.install import NEURON_STATE, fake_neuron

FLAGS = ["--target", "inf2", "--model-type", "generic", "--optlevel", "2", "--auto-cast", "none"]
EXAMPLE = torch.ones(2, 4)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


@pytest.fixture
def neuronx(tmp_path: Path) -> Iterator[ModuleType]:
    with fake_neuron(tmp_path):
        yield importlib.import_module("torch_neuronx")


class Sorting(nn.Module):
    def forward(self, tensor: Tensor) -> Tensor:
        return tensor.sort().values


class Selecting(nn.Module):
    def forward(self, tensor: Tensor) -> Tensor:
        return torch.masked_select(tensor, tensor > 0)


class Two(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return first + 1, second * 2


def saved(neuronx: Any, folder: Path, module: nn.Module, example: Any) -> Path:
    """A trace that was made for another host, so that this process has no core by it."""
    traced = neuronx.trace(module, example, compiler_args=FLAGS, cpu_backend=True)
    torch.jit.save(traced, str(folder / "trace.pt"))
    return folder / "trace.pt"


def test_a_trace_takes_its_shapes_and_types_alone(neuronx: ModuleType, tmp_path: Path) -> None:
    module = nn.Linear(4, 2).eval()
    os.environ["NEURON_RT_VISIBLE_CORES"] = "0"
    loaded = torch.jit.load(str(saved(neuronx, tmp_path, module, EXAMPLE)))
    torch.testing.assert_close(loaded(EXAMPLE), module(EXAMPLE))
    for other in (torch.ones(1, 4), EXAMPLE.to(torch.bfloat16)):
        with pytest.raises(RuntimeError, match="were not traced"):
            loaded(other)


def test_several_inputs_and_outputs(neuronx: ModuleType, tmp_path: Path) -> None:
    example = (EXAMPLE, torch.ones(2, 3, dtype=torch.int64))
    loaded = torch.jit.load(str(saved(neuronx, tmp_path, Two(), example)))
    first, second = loaded(*example)
    assert (first.tolist(), second.tolist()) == ((EXAMPLE + 1).tolist(), (example[1] * 2).tolist())


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"compiler_args": [*FLAGS, "--fast-math", "all"]}, "unknown argument --fast-math all"),
        ({"compiler_args": FLAGS[:-2]}, "--auto-cast has no stable default"),
        ({"compiler_args": " ".join(FLAGS).replace("none", "some")}, "unknown argument --auto-cast some"),
        ({"compiler_args": FLAGS[:-1]}, "--auto-cast has no value"),
        ({"compiler_args": FLAGS, "inline_weights_to_neff": False}, "weights outside the NEFF"),
    ],
)
def test_arguments_of_the_compiler_are_checked(neuronx: Any, options: dict[str, Any], refusal: str) -> None:
    with pytest.raises(RuntimeError, match=refusal):
        neuronx.trace(nn.Linear(4, 2), EXAMPLE, **options)


def test_arguments_that_trace_does_not_have_are_refused(neuronx: Any) -> None:
    with pytest.raises(TypeError, match="batch_size"):
        neuronx.trace(nn.Linear(4, 2), EXAMPLE, batch_size=2)
    with pytest.raises(TypeError):
        neuronx.trace(nn.Linear(4, 2), EXAMPLE, FLAGS)


@pytest.mark.parametrize(
    ("module", "refusal"),
    [(Sorting(), "aten::sort: unsupported operator"), (Selecting(), "aten::masked_select: its output's shape depends")],
)
def test_what_the_compiler_cannot_do_is_refused_and_analyzed(neuronx: Any, module: nn.Module, refusal: str) -> None:
    with pytest.raises(RuntimeError, match=refusal):
        neuronx.trace(module, EXAMPLE, compiler_args=FLAGS)
    report = neuronx.analyze(module, EXAMPLE)
    (refused,) = report["unsupported_operators"]
    assert refusal.startswith(refused["kind"])
    assert refused["failureAt"] == "neuronx-cc"
    assert set(refused) == {"kind", "failureAt", "call", "opGraph"}
    assert set(report) == {
        "torch_neuronx_version",
        "neuronx_cc_version",
        "support_percentage",
        "supported_operators",
        "unsupported_operators",
    }


def test_a_trace_is_on_a_core_of_its_process_at_once(neuronx: Any, tmp_path: Path) -> None:
    neuronx.trace(nn.Linear(4, 2), EXAMPLE, compiler_args=FLAGS)
    assert [(tmp_path / f"core-{core}").read_text() for core in (0, 1)] == [str(os.getpid())] * 2
    neuronx.RUNTIME._pid = os.getpid() + 1  # as a fork would find it
    with pytest.raises(RuntimeError, match="Incompatible runtime state: NRT_STATE_CHILD"):
        neuronx.trace(nn.Linear(4, 2), EXAMPLE, compiler_args=FLAGS)


def test_a_forked_process_cannot_use_the_device(neuronx: ModuleType, tmp_path: Path) -> None:
    loaded: Any = torch.jit.load(str(saved(neuronx, tmp_path, nn.Linear(4, 2).eval(), EXAMPLE)))
    loaded(EXAMPLE)
    pid, here = neuronx.RUNTIME._pid, os.getpid()
    assert pid == here
    neuronx.RUNTIME._pid = here + 1  # as a fork would find it
    with pytest.raises(RuntimeError, match="Incompatible runtime state: NRT_STATE_CHILD"):
        loaded(EXAMPLE)


@pytest.mark.parametrize("cores", ["0,1", "2", "1-2", "one", "1-0"])
def test_cores_that_are_not_there_or_no_range_are_refused(
    neuronx: ModuleType, tmp_path: Path, cores: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = saved(neuronx, tmp_path, nn.Linear(4, 2), EXAMPLE)
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", cores)
    with pytest.raises(RuntimeError, match=r"NEURON_RT_VISIBLE_CORES|not available"):
        torch.jit.load(str(trace))


def test_without_a_device_the_host_has_to_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_neuron(tmp_path / "plain", devices=0):
        neuronx: Any = importlib.import_module("torch_neuronx")
        with pytest.raises(RuntimeError, match="no Neuron device"):
            neuronx.trace(nn.Linear(4, 2), EXAMPLE, compiler_args=FLAGS)
        with pytest.raises(RuntimeError, match="was not set before the import"):
            neuronx.trace(nn.Linear(4, 2), EXAMPLE, compiler_args=FLAGS, cpu_backend=True)
    with fake_neuron(tmp_path / "told", devices=0):
        monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "inf2")
        neuronx = importlib.import_module("torch_neuronx")
        trace = neuronx.trace(nn.Linear(4, 2), EXAMPLE, compiler_args=FLAGS, cpu_backend=True)
        torch.jit.save(trace, str(tmp_path / "trace.pt"))
        with pytest.raises(RuntimeError, match="not available"):
            torch.jit.load(str(tmp_path / "trace.pt"))


def test_a_batch_is_shared_by_the_cores_of_the_process(neuronx: Any, tmp_path: Path) -> None:
    module = nn.Linear(4, 2).eval()
    os.environ["NEURON_RT_VISIBLE_CORES"] = "0-1"
    loaded = torch.jit.load(str(saved(neuronx, tmp_path, module, EXAMPLE)))
    parallel = neuronx.DataParallel(loaded, device_ids=[0, "nc:1"], dim=0, set_dynamic_batching=False)
    batch = torch.rand(4, 4)
    torch.testing.assert_close(parallel(batch), module(batch))
    for size, refusal in ((3, "no multiple of 2 cores"), (2, "were not traced")):
        with pytest.raises(RuntimeError, match=refusal):
            parallel(torch.rand(size, 4))
    with pytest.raises(RuntimeError, match="this process has cores 0 to 1"):
        neuronx.DataParallel(loaded, device_ids=[0, 2], set_dynamic_batching=False)
    with pytest.raises(RuntimeError, match="no dynamic batching"):
        neuronx.DataParallel(loaded)
    with pytest.raises(ValueError, match="takes what torch_neuronx"):
        neuronx.DataParallel(module, set_dynamic_batching=False)


def test_loads_go_to_one_core_after_another(neuronx: Any, tmp_path: Path) -> None:
    os.environ["NEURON_RT_VISIBLE_CORES"] = "0-1"
    path = saved(neuronx, tmp_path, nn.Linear(4, 2).eval(), EXAMPLE)
    first, second = torch.jit.load(str(path)), torch.jit.load(str(path))
    first(EXAMPLE)
    assert [(tmp_path / f"core-{core}").read_text() for core in (0, 1)] == [f"{os.getpid()} in use", f"{os.getpid()}"]
    second(EXAMPLE)
    assert (tmp_path / "core-1").read_text() == f"{os.getpid()} in use"


def test_a_profile_needs_the_neff_that_it_was_taken_of(neuronx: Any, tmp_path: Path) -> None:
    os.environ["NEURON_RT_VISIBLE_CORES"] = "0"
    loaded = torch.jit.load(str(saved(neuronx, tmp_path, nn.Linear(4, 2).eval(), EXAMPLE)))
    out = tmp_path / "profile"
    view = ["neuron-explorer", "view", "-d", str(out), "--output-format", "summary-text"]
    inspect = {"NEURON_RT_INSPECT_ENABLE": "1", "NEURON_RT_INSPECT_OUTPUT_DIR": str(out)}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in inspect.items():
            environment.setenv(name, value)
        loaded(EXAMPLE)
        assert not out.exists()  # the device's trace is off by default
        environment.setenv("NEURON_RT_INSPECT_DEVICE_PROFILE", "1")
        loaded(EXAMPLE)
    assert "on core 0: a stand-in ran it" in subprocess.run(view, capture_output=True, text=True, check=True).stdout
    (neff,) = out.rglob("*.neff")
    neff.unlink()
    refused = subprocess.run(view, capture_output=True, text=True, check=False)
    assert "the NEFF that it was taken of is not here" in refused.stderr


def test_devices_are_listed_with_who_uses_them(neuronx: ModuleType, tmp_path: Path) -> None:
    os.environ["NEURON_RT_VISIBLE_CORES"] = "1"
    torch.jit.load(str(saved(neuronx, tmp_path, nn.Linear(4, 2), EXAMPLE)))
    listed = subprocess.run(["neuron-ls", "-j"], capture_output=True, text=True, check=True).stdout
    (device,) = json.loads(listed)
    assert (device["nc_count"], device["neuroncore_ids"]) == (2, [0, 1])
    assert [process["pid"] for process in device["neuron_processes"]] == [os.getpid()]
    refused = subprocess.run(["neuron-ls", "--yaml"], capture_output=True, text=True, check=False)
    assert "unknown arguments ['--yaml']" in refused.stderr


def test_everything_is_put_back(tmp_path: Path) -> None:
    before = dict(os.environ), list(sys.path), torch.jit.load
    with fake_neuron(tmp_path):
        importlib.import_module("torch_neuronx")
        assert NEURON_STATE in os.environ
        assert torch.jit.load is not before[2]
    assert (dict(os.environ), list(sys.path), torch.jit.load) == before
    assert "torch_neuronx" not in sys.modules
