from pathlib import Path

import pytest

from inferlab.errors import ArtifactError
from inferlab.models.base import Model
from inferlab.targets.source import Source


def test_each_form_is_read_from_its_file(tiny: Model, optimized_dir: Path) -> None:
    source = Source(tiny, optimized_dir)
    assert source.module is source.module
    assert not source.module.training
    assert source.calibration["picture"].shape == (16, 3, 8, 8)
    assert "linear" in str(source.program.graph)


def test_a_missing_file_is_named(tiny: Model, tmp_path: Path) -> None:
    source = Source(tiny, tmp_path)
    with pytest.raises(ArtifactError, match=r"program\.pt2 is missing; run dvc repro"):
        _ = source.program
    with pytest.raises(ArtifactError, match=r"calibration\.npz is missing; run dvc repro"):
        _ = source.calibration


def test_damaged_calibration_data_are_named(tiny: Model, tmp_path: Path) -> None:
    (tmp_path / "calibration.npz").write_bytes(b"not an archive")
    with pytest.raises(ArtifactError, match=r"calibration\.npz is damaged"):
        _ = Source(tiny, tmp_path).calibration
