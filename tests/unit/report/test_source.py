"""Reading the tables back."""

import shutil
from pathlib import Path

import pytest

from inferlab.errors import ArtifactError
from inferlab.report.source import Report, open_report


def test_this_runs_machine_stands_first(report: Report) -> None:
    assert [found["machine_id"] for found in report.sets] == ["machine-a", "machine-b"]
    assert [bool(found["this_run"]) for found in report.sets] == [True, False]


def test_lines_of_a_set_are_of_that_machine_alone(report: Report) -> None:
    frame = report.of_set("latency", report.sets[1])
    assert set(frame["machine_id"]) == {"machine-b"}
    assert frame["reason"].map(type).eq(str).all()


def test_another_profile_has_no_lines(root: Path) -> None:
    assert open_report(str(root), "quick", "", 0.95).sets == []


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"latency\.csv is missing.*analyze"):
        open_report(str(tmp_path), "full", "", 0.95).table("latency")


@pytest.mark.parametrize("name", ["latency", "comparisons"])
def test_a_truncated_table_is_named(root: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(root / "results", tmp_path / "results")
    opened = open_report(str(tmp_path), "full", "", 0.95)
    assert len(opened.table(name)) > 0
    path = next(path for path in (tmp_path / "results").rglob(f"{name}.csv") if path.parent.name != "plots")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))
    with pytest.raises(ArtifactError, match=rf"{name}\.csv is damaged.*dvc repro analyze"):
        opened.table(name)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_checksums_are_named(root: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(root / "results", tmp_path / "results")
    path = tmp_path / "results/tables/checksums.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"checksums\.json is damaged"):
        open_report(str(tmp_path), "full", "", 0.95).table("latency")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"checksums\.json is missing"):
        open_report(str(tmp_path), "full", "", 0.95).table("latency")


def test_the_interval_names_its_confidence(report: Report) -> None:
    assert report.interval.replace("\N{NO-BREAK SPACE}", " ") == "95 % interval"
