"""A repository whose cells have all run, with synthetic records where the stages write theirs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic_results import Synthetic, machine_record, write_results

from inferlab.params import Params, load_params
from inferlab.stages.collect import selection

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def params() -> Params:
    """The repository's own parameters with one model selected."""
    return with_run(load_params(REPOSITORY / "params.yaml"), models=("minilm",))


def with_run(params: Params, **changes: Any) -> Params:
    return params.model_copy(update={"run": params.run.model_copy(update=changes)})


@pytest.fixture
def repository(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> Callable[[Synthetic], Path]:
    """Put synthetic records where the stages would write them; returns the root."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def fill(truth: Synthetic) -> Path:
        written = write_results(tmp_path / "made", truth)
        root = tmp_path / "repository"
        for name, source in selection(params):
            if (written / name).is_file():
                (root / source).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(written / name, root / source)
        machine_record(truth).write(root / "results" / "machine.json")
        return root

    return fill
