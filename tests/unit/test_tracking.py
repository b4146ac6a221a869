"""MLflow: everything once, whatever is lost."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from synthetic_results import SCENARIOS, Synthetic, machine_record, write_results

from inferlab import tracking
from inferlab.analyze.results import ResultSet
from inferlab.errors import UserError
from inferlab.files import digests_of_folder
from inferlab.records import OptimizationRecord

pytestmark = [
    # MLflow and what it imports use what their own dependencies deprecate
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SMALL = Synthetic(studies=("optimization",), rounds=2, requests=12, samples=20)


def sync(root: Path, profile: str = "*") -> int:
    machines = root / "results" / "machines"
    digests = {
        path.parent.relative_to(machines).as_posix(): digests_of_folder(path.parent)
        for path in machines.glob(f"*/*/{profile}/machine.json")
    }
    return tracking.sync_runs(root, digests, {"optimization": SCENARIOS[:2]}, ["common-rate"], 0.95)


def active_runs(root: Path) -> list[dict[str, str]]:
    """Tags of every run that is not deleted."""
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        ids = [row[0] for row in connection.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'")]
        found = {run_id: {} for run_id in ids}
        for run_id, key, value in connection.execute("SELECT run_uuid, key, value FROM tags"):
            if run_id in found:
                found[run_id][key] = value
    return list(found.values())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository's root whose results are logged to its own SQLite file."""
    root = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_results(root / "results" / "machines", SMALL)
        assert sync(root) > 0
    return root


@pytest.fixture
def root(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shared


def test_runs_are_nested_under_one_parent_and_carry_the_machine(root: Path) -> None:
    runs = active_runs(root)
    parents = [tags for tags in runs if tags[tracking.KIND] == "set"]
    assert [tags[tracking.SET] for tags in parents] == ["machine-a/environment-a/full"]
    children = [tags for tags in runs if tracking.PARENT in tags]
    assert len(children) == len(runs) - 1
    assert {tags["cpu_model"] for tags in children} == {"Synthetic CPU 3000"}
    kinds = Counter(tags[tracking.KIND] for tags in children)
    assert (kinds["optimize"], kinds["optimize-step"], kinds["compile"], kinds["quality"]) == (4, 3, 16, 16)
    assert kinds["measurement"] == 2 * 8 + 9  # measured under two scenarios; the others once
    assert {tags["outcome"] for tags in children} == {"measured", "unavailable", "unsupported"}


def test_metrics_have_units_and_records_are_artifacts(root: Path) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        names = {row[0] for row in connection.execute("SELECT DISTINCT key FROM metrics")}
    assert {"latency_p50_s", "throughput_mean_per_s", "build_time_s", "size_bytes", "accuracy"} <= names
    records = list((root / "mlartifacts").glob("*/artifacts/record.json"))
    assert len(records) == len(active_runs(root)) - 1
    assert any(json.loads(path.read_text()).get("scenario") == "one-caller" for path in records)


def test_logging_the_same_content_twice_adds_nothing_and_needs_no_mlflow(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(active_runs(root))
    monkeypatch.setattr(tracking, "_experiment", lambda *_: pytest.fail("MLflow was started"))
    assert sync(root) == 0
    assert len(active_runs(root)) == before


def test_new_content_is_added_and_the_old_marked_then_unmarked_when_it_returns(root: Path) -> None:
    path = root / "results/machines/machine-a/environment-a/full/optimizations/minilm-pruned.json"
    original = path.read_text()
    record = OptimizationRecord.read(path)
    record.model_copy(update={"time_s": 99.0}).write(path)
    assert sync(root) == 1
    superseded = [tags for tags in active_runs(root) if tracking.SUPERSEDED in tags]
    assert [tags["mlflow.runName"] for tags in superseded] == ["optimize minilm/pruned"]
    path.write_text(original)
    assert sync(root) == 0
    superseded = [tags for tags in active_runs(root) if tracking.SUPERSEDED in tags]
    assert len(superseded) == 1  # now the changed one


def test_a_run_whose_logging_was_interrupted_is_replaced(root: Path) -> None:
    before = len(active_runs(root))
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        connection.execute(
            "UPDATE runs SET status = 'RUNNING' WHERE run_uuid ="
            " (SELECT run_uuid FROM tags WHERE key = ? AND value = 'compile' LIMIT 1)",
            (tracking.KIND,),
        )
        parent = (
            "UPDATE tags SET value = 'stale' WHERE key = ? AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = ?)"
        )
        connection.execute(parent, (tracking.DIGEST, tracking.SET))
        connection.commit()
    assert sync(root) == 1
    assert len(active_runs(root)) == before


def test_a_second_machine_gets_a_parent_of_its_own_and_a_lost_database_is_filled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = tmp_path / "results" / "machines"
    for name in ("a", "b"):
        folder = machines / name / "environment-a" / "full"
        machine_record(Synthetic(machine_id=name)).write(folder / "machine.json")
        OptimizationRecord(
            model="noop", optimization="pruned", precision="fp32", outcome="unsupported", reason="no weights"
        ).write(folder / "optimizations" / "noop-pruned.json")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert sync(tmp_path) == 2
    parents = {tags[tracking.SET] for tags in active_runs(tmp_path) if tracking.SET in tags}
    assert parents == {"a/environment-a/full", "b/environment-a/full"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'empty' / 'mlflow.db'}")
    (tmp_path / "empty").mkdir()
    assert sync(tmp_path) == 2
    assert len(active_runs(tmp_path / "empty")) == 4


def test_a_set_that_is_logged_already_is_not_summarized_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inferlab.analyze import runs

    summarized: list[str] = []
    runs_of = runs.runs_of

    def noted(results: ResultSet, *arguments: Any) -> Iterator[runs.RunContent]:
        summarized.append(results.machine.machine_id)
        return runs_of(results, *arguments)

    monkeypatch.setattr(runs, "runs_of", noted)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for name in ("a", "b"):
        folder = tmp_path / "results" / "machines" / name / "environment-a" / "full"
        machine_record(Synthetic(machine_id=name)).write(folder / "machine.json")
        sync(tmp_path)
    assert summarized == ["a", "b"]


def test_sets_that_are_not_named_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for profile in ("full", "quick"):
        folder = tmp_path / "results" / "machines" / "a" / "environment-a" / profile
        machine_record(Synthetic(machine_id="a")).write(folder / "machine.json")
    sync(tmp_path, "quick")
    assert {tags[tracking.SET] for tags in active_runs(tmp_path)} == {"a/environment-a/quick"}


def test_an_unusable_server_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://server")
    with pytest.raises(UserError, match=r"nonsense://server.*MLFLOW_TRACKING_URI"):
        sync(root)


def test_nothing_collected_means_nothing_logged(tmp_path: Path) -> None:
    (tmp_path / "results" / "machines").mkdir(parents=True)
    assert sync(tmp_path) == 0
    assert not (tmp_path / "mlflow.db").exists()
