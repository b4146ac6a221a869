"""Results that come from elsewhere: what is copied, and what is refused before anything is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_results import Synthetic, write_results

from inferlab.analyze.results import load_results
from inferlab.bring_command import run
from inferlab.errors import ArtifactError, DataError, UserError
from inferlab.files import digests_of_folder

SMALL = {"studies": ("optimization",), "rounds": 2, "requests": 8, "samples": 20}
SET = "machine-b/environment-a/full"


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two repositories: `here` with the results of machine-a, `elsewhere` with those of machine-b."""
    trees = tmp_path_factory.mktemp("repositories")
    write_results(trees / "here/results/machines", Synthetic(**SMALL))
    write_results(trees / "elsewhere/results/machines", Synthetic(machine_id="machine-b", **SMALL))
    return trees


@pytest.fixture
def repositories(trees: Path, tmp_path: Path) -> tuple[Path, Path]:
    shutil.copytree(trees, tmp_path, dirs_exist_ok=True)
    return tmp_path / "here", tmp_path / "elsewhere"


@pytest.mark.parametrize("part", ["", "results", "results/machines"])
def test_results_of_another_machine_stand_beside_those_that_are_here(
    repositories: tuple[Path, Path], part: str
) -> None:
    here, elsewhere = repositories
    said = run(here, elsewhere / part, replace=False)
    assert f"{SET}: brought, " in said
    assert "dvc repro -s analyze report" in said
    brought = here / "results/machines" / SET
    assert digests_of_folder(brought) == digests_of_folder(elsewhere / "results/machines" / SET)
    assert [found.machine.machine_id for found in load_results(here / "results/machines")] == ["machine-a", "machine-b"]
    assert set(json.loads((here / "results/collected.json").read_text())) == {"machine-a/environment-a/full", SET}
    assert [path.name for path in (here / "results").iterdir() if path.name.startswith(".")] == []


def test_the_same_again_changes_nothing(repositories: tuple[Path, Path]) -> None:
    here, elsewhere = repositories
    run(here, elsewhere, replace=False)
    before = {path: path.stat().st_mtime_ns for path in (here / "results").rglob("*")}
    assert run(here, elsewhere, replace=False) == f"{SET}: here already"
    assert {path: path.stat().st_mtime_ns for path in (here / "results").rglob("*")} == before


def test_files_that_are_no_results_stay_where_they_are(repositories: tuple[Path, Path]) -> None:
    here, elsewhere = repositories
    folder = elsewhere / "results/machines" / SET
    (folder / "notes.txt").write_text("mine")
    (folder / "plans/readme.md").write_text("mine")
    run(here, elsewhere, replace=False)
    copied = {path.name for path in (here / "results/machines" / SET).rglob("*")}
    assert copied.isdisjoint({"notes.txt", "readme.md"})
    assert "optimization-minilm.json" in copied


def test_other_results_of_a_set_are_replaced_only_where_that_is_asked_for(repositories: tuple[Path, Path]) -> None:
    here, elsewhere = repositories
    run(here, elsewhere, replace=False)
    write_results(elsewhere / "results/machines", Synthetic(machine_id="machine-b", seed=9, **SMALL))
    before = digests_of_folder(here / "results")
    with pytest.raises(UserError, match=f"{SET}: other results of it are here.*--replace"):
        run(here, elsewhere, replace=False)
    assert digests_of_folder(here / "results") == before
    assert f"{SET}: replaced, " in run(here, elsewhere, replace=True)
    new = digests_of_folder(elsewhere / "results/machines" / SET)
    assert digests_of_folder(here / "results/machines" / SET) == new
    assert load_results(here / "results/machines"), "the checksums that collect listed are those of the new files"


@pytest.mark.parametrize("provenance", ["fake", "emulated"])
def test_other_provenances_never_come_beside_hardware(repositories: tuple[Path, Path], provenance: str) -> None:
    here, elsewhere = repositories
    shutil.rmtree(elsewhere)
    write_results(elsewhere / "results/machines", Synthetic(machine_id="m", provenance=provenance, **SMALL))
    with pytest.raises(DataError, match=f"never mixed.*m/environment-a/full: {provenance}"):
        run(here, elsewhere, replace=False)
    assert not (here / "results/machines/m").exists()


def damage(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "name",
    [
        "machine.json",
        "plans/optimization-minilm.json",
        "measurements/optimization/minilm/blocks.parquet",
        "measurements/optimization/minilm/requests.parquet",
        "quality/minilm/original/cpu-openvino/predictions.parquet",
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_copied(repositories: tuple[Path, Path], name: str) -> None:
    here, elsewhere = repositories
    before = digests_of_folder(here)
    damage(elsewhere / "results/machines" / SET, name)
    with pytest.raises(ArtifactError, match=Path(name).name.replace(".", r"\.")):
        run(here, elsewhere, replace=False)
    assert digests_of_folder(here) == before


@pytest.mark.parametrize("column", ["throughput_per_s", "started_unix_s", "round"])
def test_words_in_the_place_of_numbers_are_refused_before_analyze_meets_them(
    repositories: tuple[Path, Path], column: str
) -> None:
    here, elsewhere = repositories
    path = elsewhere / "results/machines" / SET / "measurements/optimization/minilm/blocks.parquet"
    pd.read_parquet(path).assign(**{column: "fast"}).to_parquet(path)
    with pytest.raises(ArtifactError, match=r"blocks\.parquet: a column holds what is no number \(.*fast"):
        run(here, elsewhere, replace=False)


@pytest.mark.parametrize("row", [{"kind": "closed", "callers": -5}, {"kind": "none"}, {}])
def test_a_scenario_that_analyze_could_not_read_is_refused(
    repositories: tuple[Path, Path], row: dict[str, object]
) -> None:
    here, elsewhere = repositories
    path = elsewhere / "results/machines" / SET / "plans/optimization-minilm.json"
    plan = json.loads(path.read_text()) | {"scenarios": [{"name": "one-caller", "row": row}]}
    path.write_text(json.dumps(plan))
    with pytest.raises(DataError, match=r"optimization-minilm\.json: a scenario is none that this inferlab knows"):
        run(here, elsewhere, replace=False)


def test_a_record_of_nothing_but_brackets_is_damaged(repositories: tuple[Path, Path]) -> None:
    here, elsewhere = repositories
    (elsewhere / "results/machines" / SET / "machine.json").write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match=r"machine\.json does not hold a MachineRecord"):
        run(here, elsewhere, replace=False)


@pytest.mark.parametrize(("old", "new"), [("machine-b", "..b"), ("environment-a", "a b"), ("full", "-full")])
def test_a_folder_with_another_kind_of_name_is_refused(repositories: tuple[Path, Path], old: str, new: str) -> None:
    here, elsewhere = repositories
    folder = next(path for path in (elsewhere / "results/machines").rglob(old))
    folder.rename(folder.with_name(new))
    with pytest.raises(UserError, match=f"'{new}' is no name of results"):
        run(here, elsewhere, replace=False)


@pytest.mark.parametrize("name", ["", "plans", "plans/optimization-minilm.json"])
def test_links_are_refused(repositories: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    here, elsewhere = repositories
    path = elsewhere / "results/machines" / SET / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(UserError, match="it is a link"):
        run(here, elsewhere, replace=False)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_in_the_place_of_a_record_is_refused(
    repositories: tuple[Path, Path], make: Callable[[Path], None]
) -> None:
    here, elsewhere = repositories
    make(elsewhere / "results/machines" / SET / "plans/optimization-other.json")
    with pytest.raises(UserError, match=r"optimization-other\.json: it is no file"):
        run(here, elsewhere, replace=False)


def test_folders_without_results_and_this_repository_itself_are_the_users_mistake(
    repositories: tuple[Path, Path], tmp_path: Path
) -> None:
    here, _ = repositories
    for source, words in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "there are no results in it")):
        with pytest.raises(UserError, match=words):
            run(here, source, replace=False)
    with pytest.raises(UserError, match="the results of this repository"):
        run(here, here, replace=False)
