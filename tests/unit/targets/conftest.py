import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from inferlab.models.base import Model
from inferlab.records import ArtifactRecord, Precision
from inferlab.targets.compiling import compile_artifact
from targets.tiny import TinyModel, optimized, write_optimized

HERE = Path(__file__).parent
Compile = Callable[..., tuple[Path, ArtifactRecord]]


@pytest.fixture(autouse=True)
def _defaults_of_torch() -> None:
    """One thread, and fp32 products that no session before has handed to oneDNN."""
    torch.set_num_threads(1)
    torch.backends.mkldnn.matmul.fp32_precision = "none"


@pytest.fixture
def tiny() -> Model:
    return TinyModel()


@pytest.fixture(scope="session")
def optimized_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "optimized"
    write_optimized(TinyModel(), folder)
    return folder


@pytest.fixture
def compile_tiny(tiny: Model, optimized_dir: Path, tmp_path: Path) -> Compile:
    """Compile the tiny model for a target; gives the folder and the record."""

    def compiled(
        target: str, precision: Precision = "fp32", batch_sizes: tuple[int, ...] = (1, 4)
    ) -> tuple[Path, ArtifactRecord]:
        folder = tmp_path / "artifacts" / precision / target
        return folder, compile_artifact(tiny, optimized(precision), optimized_dir, target, batch_sizes, folder)

    return compiled


@pytest.fixture
def neuron_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fake neuron-ls on PATH and a fake torch_neuronx on Python's path."""
    program = tmp_path / "bin" / "neuron-ls"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "fake_neuron" / "neuron_ls.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "placeholder")
    monkeypatch.delenv("NEURON_RT_VISIBLE_CORES")
    monkeypatch.syspath_prepend(HERE / "fake_neuron")
    with _forgotten("torch_neuronx"):
        yield


@pytest.fixture
def nvidia_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fake pynvml on Python's path, with one GPU."""
    monkeypatch.syspath_prepend(HERE / "fake_nvml")
    with _forgotten("pynvml"):
        yield


class _forgotten:  # noqa: N801
    """Have a module imported anew inside the block, and again after it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._module = sys.modules.pop(self._name, None)

    def __exit__(self, *exc_info: object) -> None:
        sys.modules.pop(self._name, None)
        if self._module is not None:
            sys.modules[self._name] = self._module
