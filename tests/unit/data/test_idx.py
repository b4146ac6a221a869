import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.data.idx import read_idx, write_idx
from inferlab.errors import DataError


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), seed=st.integers(0, 9))
def test_arrays_come_back(shape: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "images.gz"
    write_idx(path, array)
    assert (read_idx(path, len(shape)) == array).all()


def test_the_header_is_that_of_the_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "images.gz", np.zeros((2, 3, 4), dtype=np.uint8))
    content = gzip.decompress((tmp_path / "images.gz").read_bytes())
    assert content[:16] == struct.pack(">IIII", 2051, 2, 3, 4)
    assert len(content) == 16 + 24


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"plain", "is not a gzip file"),
        (gzip.compress(b"abc", mtime=0), "is not an IDX file of unsigned bytes in 1 dimensions"),
        (gzip.compress(struct.pack(">II", 2051, 3) + b"abc", mtime=0), "is not an IDX file"),
        (gzip.compress(struct.pack(">II", 2049, 4) + b"abc", mtime=0), "holds 11 bytes, its header says 12"),
        (gzip.compress(struct.pack(">II", 2049, 3) + b"abc", mtime=0)[:-9], "is not a gzip file"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "labels.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"labels\.gz {complaint}"):
        read_idx(tmp_path / "labels.gz", 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.gz is missing"):
        read_idx(tmp_path / "labels.gz", 1)
