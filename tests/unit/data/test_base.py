from pathlib import Path

import numpy as np
import pytest

from inferlab.data.base import DATASETS, Samples
from inferlab.errors import DataError


def samples() -> Samples:
    return Samples({"picture": np.arange(24, dtype=np.uint8).reshape(6, 2, 2)}, np.arange(6, dtype=np.int64))


def test_samples_come_back_as_they_were_stored(tmp_path: Path) -> None:
    samples().write(tmp_path / "train.npz")
    read = Samples.read(tmp_path / "train.npz")
    assert read.raw["picture"].dtype == np.uint8
    assert (read.raw["picture"] == samples().raw["picture"]).all()
    assert (read.labels == samples().labels).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "train.npz"]


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        samples().write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_take_keeps_samples_and_labels_together() -> None:
    taken = samples().take(np.array([4, 1]))
    assert len(taken) == 2
    assert taken.labels.tolist() == [4, 1]
    assert (taken.raw["picture"][0] == samples().raw["picture"][4]).all()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.npz does not hold stored samples"):
        Samples.read(tmp_path / "train.npz")


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.npz is missing; run dvc repro"):
        Samples.read(tmp_path / "train.npz")


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    with (tmp_path / "train.npz").open("wb") as stream:
        np.savez(stream, labels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="allow_pickle"):
        Samples.read(tmp_path / "train.npz")


def test_both_data_sets_are_registered() -> None:
    assert DATASETS.names() == ["fashion-mnist", "review-snippets"]
