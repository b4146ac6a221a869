from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from train.tiny import TinyModel, tiny_model

from inferlab.data.base import Samples
from inferlab.errors import DataError
from inferlab.files import check_digests
from inferlab.models.base import MODELS, Model
from inferlab.models.structure import load_module
from inferlab.records import PreparedRecord
from inferlab.stages import prepare
from inferlab.train.accuracy import accuracy


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "use_physical_cores", lambda: torch.set_num_threads(1))


def params(model: Model, **fractions: float) -> SimpleNamespace:
    names = ("train_fraction", "evaluation_fraction", "calibration_fraction")
    data = SimpleNamespace(**{**dict.fromkeys(names, 1.0), **fractions})
    return SimpleNamespace(
        models={model.name: model}, profile=SimpleNamespace(data=data), run=SimpleNamespace(seed=3), optimizations={}
    )


def run(model: Model, root: Path, **fractions: float) -> Path:
    prepare.run(params(model, **fractions), root, model=model.name)  # type: ignore[arg-type]
    return root / "build" / "prepared" / model.name


def test_writes_a_fitted_module_and_its_samples(tmp_path: Path) -> None:
    model = tiny_model()
    folder = run(model, tmp_path)
    record = PreparedRecord.read(folder / "prepared.json")
    assert record.counts == {"train": 128, "evaluation": 64, "calibration": 16}
    assert record.checks == {"checked": True}
    assert record.fit["last_loss"] < record.fit["first_loss"]
    check_digests(folder, record.files)
    evaluation = Samples.read(folder / "evaluation.npz")
    assert accuracy(load_module(model, folder), model, evaluation) > 0.95


def test_fractions_scale_the_data_but_not_below_what_calibration_takes(tmp_path: Path) -> None:
    folder = run(tiny_model(), tmp_path, train_fraction=0.05, evaluation_fraction=0.25)
    assert PreparedRecord.read(folder / "prepared.json").counts == {"train": 16, "evaluation": 16, "calibration": 16}


def test_fewer_samples_calibrate_where_the_profile_says_so_and_they_are_the_first(tmp_path: Path) -> None:
    whole = run(tiny_model(), tmp_path / "whole", train_fraction=0.5)
    part = run(tiny_model(), tmp_path / "part", train_fraction=0.5, calibration_fraction=0.25)
    assert PreparedRecord.read(part / "prepared.json").counts["calibration"] == 4
    first = Samples.read(whole / "calibration.npz").take(slice(0, 4))
    assert (Samples.read(part / "calibration.npz").raw["picture"] == first.raw["picture"]).all()


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    first, second = (PreparedRecord.read(run(tiny_model(), tmp_path / name) / "prepared.json") for name in ("a", "b"))
    assert first.files == second.files


def test_what_an_earlier_run_left_is_gone(tmp_path: Path) -> None:
    left = run(tiny_model(), tmp_path) / "left"
    left.touch()
    run(tiny_model(), tmp_path)
    assert not left.exists()


def test_a_model_without_data_gets_example_samples(tmp_path: Path) -> None:
    model = MODELS.get("noop").model_validate({"name": "noop", "family": "noop"})
    folder = run(model, tmp_path)
    record = PreparedRecord.read(folder / "prepared.json")
    assert (record.dataset, record.counts, record.fit) == (None, {"evaluation": 256}, {})
    inputs = model.preprocess(Samples.read(folder / "evaluation.npz").raw)
    assert inputs["input_ids"].shape == (256, 128)


def test_bad_data_stops_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(*_: object) -> None:
        raise DataError("counts are wrong")

    monkeypatch.setattr("train.tiny.Halves.load", bad)
    monkeypatch.setattr(TinyModel, "pretrained", lambda _: pytest.fail("trained on bad data"))
    with pytest.raises(DataError, match="counts are wrong"):
        run(tiny_model(), tmp_path)
