import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inferlab.models.base import Model
from inferlab.records import ArtifactRecord, Precision
from inferlab.stand_ins.install import fake_neuron
from inferlab.stand_ins.install_nvidia import fake_nvidia
from inferlab.targets.compiling import compile_artifact
from targets.fake_cuda import FakeCuda, cuda
from targets.tiny import TinyModel, optimized, write_optimized

__all__ = ["FakeCuda", "cuda"]  # a fixture that has a file of its own

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
def neuron_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One Inferentia2 device that is none, in a folder of its own as the repository's; gives its state's folder."""
    monkeypatch.chdir(tmp_path)
    with fake_neuron(tmp_path / "neuron"):
        yield tmp_path / "neuron"


@pytest.fixture
def neuron_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine that is none, and no device."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with fake_neuron(tmp_path / "neuron", devices=0):
        yield


@pytest.fixture
def nvidia_driver() -> Iterator[Any]:
    """A fake pynvml on Python's path, with one GPU."""
    with fake_nvidia():
        yield importlib.import_module("pynvml")


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
