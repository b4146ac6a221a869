"""A copy of the repository in which most tests run the pipeline."""

from pathlib import Path
from typing import Any

import pytest
from clones import Run, runner, tiny_clone


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with every model, a subset of optimizations and targets."""

    def change(params: dict[str, Any]) -> None:
        params["run"].update(
            optimizations=["original", "quantized", "pruned"],
            targets=["cpu-eager", "cpu-openvino", "inf2-neuronx"],
            studies=["serving", "optimization", "caching"],
        )
        params["studies"]["caching"]["payloads"]["distinct"] = 20

    return tiny_clone(tmp_path_factory.mktemp("clone"), change)


@pytest.fixture(scope="session")
def run(clone: Path) -> Run:
    """Run a command in the clone."""
    return runner(clone)
