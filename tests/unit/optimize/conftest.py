from pathlib import Path

import pytest
import torch
from train.tiny import TinyModel, halves, tiny_model

from inferlab.data.base import Samples
from inferlab.files import digests_of_folder
from inferlab.models.structure import save_module
from inferlab.optimize.base import Context
from inferlab.records import PreparedRecord
from inferlab.train.fit import fit


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr("inferlab.optimize.recipe.use_physical_cores", lambda: 1)


@pytest.fixture
def model() -> TinyModel:
    return tiny_model()


@pytest.fixture
def context(model: TinyModel, tmp_path: Path) -> Context:
    """A trained tiny module with its samples."""
    torch.manual_seed(0)
    module, samples = model.architecture(), halves(128, 0)
    fit(module, model, samples, model.fit, 0, "fit tiny")
    return Context(
        model=model, module=module, train=samples, calibration=samples.take(slice(0, 16)), seed=0, out_dir=tmp_path
    )


@pytest.fixture
def prepared_dir(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare would have written of the context's module."""
    folder = tmp_path_factory.mktemp("prepared")
    save_module(context.module, folder)
    parts: dict[str, Samples | None] = {"train": context.train, "calibration": context.calibration}
    for name, samples in parts.items():
        assert samples is not None
        samples.write(folder / f"{name}.npz")
    PreparedRecord(
        model="tiny", dataset="halves", counts={}, checks={}, fit={}, files=digests_of_folder(folder), time_s=0.0
    ).write(folder / "prepared.json")
    return folder
