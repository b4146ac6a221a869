from pathlib import Path

import numpy as np
import pytest

from inferlab.data import fashion_mnist
from inferlab.data.base import DATASETS, DatasetOptions
from inferlab.data.fashion_mnist import EMBEDDED, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, FashionMnist
from inferlab.data.idx import write_idx
from inferlab.errors import DataError


def options(path: Path | None = None) -> DatasetOptions:
    row = {"name": "fashion-mnist", "path": path, "train": 12000, "test": 10000, "calibration": 300}
    return DATASETS.get("fashion-mnist").model_validate(row)


def write_set(folder: Path, train: np.ndarray, test: np.ndarray) -> None:
    """Pictures whose labels are their index modulo ten."""
    for images, labels, array in ((TRAIN_IMAGES, TRAIN_LABELS, train), (TEST_IMAGES, TEST_LABELS, test)):
        write_idx(folder / images, array)
        write_idx(folder / labels, np.arange(len(array)) % 10)


@pytest.fixture
def small_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "WHOLE_TRAIN_COUNT", 40)
    monkeypatch.setattr(fashion_mnist, "TEST_COUNT", 20)


def pictures(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def test_the_embedded_set_is_whole_small_and_licensed() -> None:
    splits = options().load(12000, 10000, seed=1)
    assert (len(splits.train), len(splits.evaluation)) == (12000, 10000)
    assert np.bincount(splits.train.labels).tolist() == [1200] * 10
    assert np.bincount(splits.evaluation.labels).tolist() == [1000] * 10
    assert splits.checks["duplicates_dropped"] == 0
    assert (splits.calibration.raw["picture"] == splits.train.raw["picture"][:300]).all()
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) <= 10_000_000
    assert "MIT License" in (EMBEDDED / "LICENSE").read_text(encoding="utf-8")


def test_fewer_samples_stay_balanced_and_follow_the_seed() -> None:
    first, again, other = (options().load(1000, 500, seed) for seed in (1, 1, 2))
    assert np.bincount(first.train.labels).tolist() == [100] * 10
    assert np.bincount(first.evaluation.labels).tolist() == [50] * 10
    assert (first.train.raw["picture"] == again.train.raw["picture"]).all()
    assert not (first.train.raw["picture"] == other.train.raw["picture"]).all()


def test_a_whole_set_is_read_from_a_path_without_its_duplicates(tmp_path: Path, small_counts: None) -> None:
    train, test = pictures(40, 0), pictures(20, 1)
    train[7] = test[3]
    train[12] = train[2]
    write_set(tmp_path, train, test)
    splits = options(tmp_path).load(30, 20, seed=1)
    assert splits.checks["duplicates_dropped"] == 2
    assert len(splits.train) == 30
    assert not any((picture == test[3]).all() for picture in splits.train.raw["picture"])


def test_wrong_counts_shapes_labels_and_balance_are_named(tmp_path: Path, small_counts: None) -> None:
    write_set(tmp_path, pictures(39, 0), pictures(20, 1))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz holds 39 pictures; allowed: 40"):
        options(tmp_path).load(10, 10, 1)
    write_set(tmp_path, pictures(40, 0)[:, :27], pictures(20, 1))
    with pytest.raises(DataError, match=r"27, 28.* allowed: 28 by 28"):
        options(tmp_path).load(10, 10, 1)
    write_set(tmp_path, pictures(40, 0), pictures(20, 1))
    write_idx(tmp_path / TRAIN_LABELS, np.full(40, 10))
    with pytest.raises(DataError, match="label 10 is not allowed; allowed: 0 to 9"):
        options(tmp_path).load(10, 10, 1)
    write_idx(tmp_path / TRAIN_LABELS, np.zeros(40))
    with pytest.raises(DataError, match="class 't-shirt or top' has a share of 1"):
        options(tmp_path).load(10, 10, 1)
    write_idx(tmp_path / TRAIN_LABELS, np.zeros(39))
    with pytest.raises(DataError, match=r"has 40 pictures, .* has 39 labels"):
        options(tmp_path).load(10, 10, 1)


def test_a_folder_without_the_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is missing; `path` must name a folder"):
        options(tmp_path).load(10, 10, 1)


def test_a_damaged_embedded_file_is_found_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in EMBEDDED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / TEST_LABELS).read_bytes())
    content[100] ^= 1
    (tmp_path / TEST_LABELS).write_bytes(content)
    monkeypatch.setattr(fashion_mnist, "EMBEDDED", tmp_path)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is damaged: its SHA-256 is"):
        options().load(100, 100, 1)


def test_more_samples_than_there_are_is_an_error() -> None:
    with pytest.raises(DataError, match="fashion-mnist: train: 20000 samples asked for, but class 0 has only 1200"):
        options().load(20000, 100, 1)


def test_there_is_a_name_for_each_class() -> None:
    assert len(FashionMnist.labels) == 10
