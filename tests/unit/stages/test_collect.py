"""Collect: copies, forgets, and does nothing where nothing is new."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_results import Synthetic

from inferlab.params import Params
from inferlab.records import ArtifactRecord
from inferlab.stages import collect

from .conftest import with_run

SMALL = Synthetic(rounds=2, requests=8, samples=20)
Fill = Callable[[Synthetic], Path]


@pytest.fixture(autouse=True)
def synced(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, dict[str, str]]]:
    """What collect hands to MLflow, which has tests of its own."""
    calls: list[dict[str, dict[str, str]]] = []
    monkeypatch.setattr(collect, "sync_runs", lambda root, digests, *_: calls.append(digests))
    return calls


def folder_of(root: Path) -> Path:
    return root / "results/machines/machine-a/environment-a/full"


def test_every_selected_file_is_copied_and_listed(
    repository: Fill, params: Params, synced: list[dict[str, dict[str, str]]]
) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    folder = folder_of(root)
    copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"machine.json", "optimizations/minilm-pruned.json", "plans/serving-minilm.json"} <= copied
    assert "measurements/serving/minilm/requests.parquet" in copied
    assert "artifacts/minilm/quantized/cpu-eager/artifact.json" in copied
    assert "quality/minilm/original/cpu-openvino/predictions.parquet" in copied
    digests = json.loads((root / "results/collected.json").read_text())
    assert set(digests["machine-a/environment-a/full"]) == copied
    assert synced == [digests]


def test_a_second_time_writes_nothing(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    before = {path: path.stat().st_mtime_ns for path in (root / "results").rglob("*")}
    collect.run(params, root)
    assert {path: path.stat().st_mtime_ns for path in (root / "results").rglob("*")} == before


def test_what_is_no_longer_selected_goes_and_other_machines_stay(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    other = root / "results/machines/other/environment-z/full/machine.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    collect.run(params, root)
    collect.run(with_run(params, optimizations=("original",), studies=("serving",)), root)
    folder = folder_of(root)
    assert {path.name for path in (folder / "optimizations").iterdir()} == {"minilm-original.json"}
    assert not (folder / "measurements/optimization").exists()
    assert other.is_file()


def test_a_study_that_is_selected_no_more_stays_while_its_artifacts_do(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    folder = folder_of(root)
    of_study = {path: path.read_bytes() for path in folder.glob("measurements/optimization/*/*.parquet")}
    assert len(of_study) == 2
    without = with_run(params, studies=("serving",))
    collect.run(without, root)
    assert {path: path.read_bytes() for path in of_study} == of_study
    assert (folder / "plans/optimization-minilm.json").is_file()
    artifact = root / "build/artifacts/minilm/pruned/cpu-openvino/artifact.json"
    record = ArtifactRecord.read(artifact)
    record.model_copy(update={"files": {"model.xml": "another"}}).write(artifact)
    collect.run(without, root)
    assert not (folder / "measurements/optimization").exists()
    assert not (folder / "plans/optimization-minilm.json").exists()
    assert (folder / "plans/serving-minilm.json").is_file()


def test_trials_go_with_the_measurements_of_their_study(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    trials = "measurements/optimization/minilm/trials.parquet"
    (root / "results" / trials).write_bytes(b"trials")
    collect.run(params, root)
    collect.run(with_run(params, studies=("serving",)), root)
    assert (folder_of(root) / trials).read_bytes() == b"trials"


@pytest.mark.parametrize("gone", ["plans/optimization-minilm.json", "measurements/optimization/minilm/blocks.parquet"])
def test_of_a_study_that_is_selected_no_more_nothing_stays_that_cannot_be_read(
    repository: Fill, params: Params, gone: str
) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    folder = folder_of(root)
    (folder / gone).write_bytes(b"{}")
    collect.run(with_run(params, studies=("serving",)), root)
    assert not list(folder.rglob("*optimization-minilm.json"))
    assert not (folder / "measurements/optimization").exists()


def test_blocks_of_an_older_version_do_not_stay(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    folder = folder_of(root)
    blocks = folder / "measurements/optimization/minilm/blocks.parquet"
    pd.read_parquet(blocks).drop(columns="advice").to_parquet(blocks)
    collect.run(with_run(params, studies=("serving",)), root)
    assert not blocks.exists()


def test_a_file_that_was_not_made_again_leaves_the_collected_one(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    source = root / "results/plans/serving-minilm.json"
    kept = (folder_of(root) / "plans/serving-minilm.json").read_bytes()
    source.unlink()
    collect.run(params, root)
    assert (folder_of(root) / "plans/serving-minilm.json").read_bytes() == kept


def test_changed_records_replace_the_collected_ones(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    source = root / "results/plans/serving-minilm.json"
    source.write_text(source.read_text() + "\n")
    collect.run(params, root)
    assert (folder_of(root) / "plans/serving-minilm.json").read_bytes() == source.read_bytes()


def test_another_profile_gets_a_folder_of_its_own(repository: Fill, params: Params) -> None:
    root = repository(SMALL)
    collect.run(params, root)
    collect.run(with_run(params, profile="quick"), root)
    profiles = {path.name for path in (root / "results/machines/machine-a/environment-a").iterdir()}
    assert profiles == {"full", "quick"}


def test_only_the_sets_of_the_selected_profile_go_to_mlflow(
    repository: Fill, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[set[str]] = []
    monkeypatch.setattr(collect, "sync_runs", lambda root, digests, *_: logged.append(set(digests)))
    root = repository(SMALL)
    collect.run(params, root)
    collect.run(with_run(params, profile="quick"), root)
    assert logged == [{"machine-a/environment-a/full"}, {"machine-a/environment-a/quick"}]


def test_scenarios_and_loops_reach_mlflow(repository: Fill, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(collect, "sync_runs", lambda *arguments: seen.extend(arguments))
    collect.run(params, repository(SMALL))
    assert seen[2]["serving"] == params.studies["serving"].scenarios
    loops = {name: scenario.loop for name, scenario in params.scenarios.items()}
    assert seen[3] == [name for name, loop in loops.items() if loop == "open"]
    assert (loops["common-rate"], loops["load-50"], loops["eight-callers"]) == ("open", "open", "closed")
