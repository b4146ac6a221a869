"""Reading results/machines/: order, checks, and what may not stand together."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import Synthetic, machine_record, write_results

from inferlab.analyze.results import load_results, pooled_latencies, usable_blocks
from inferlab.errors import ArtifactError, DataError

SMALL = {"studies": ("optimization",), "rounds": 2, "requests": 8, "samples": 40}


def test_this_runs_set_stands_first(tmp_path: Path) -> None:
    for machine in ("a", "b", "c"):
        write_results(tmp_path, Synthetic(machine_id=machine, **SMALL))
    found = load_results(tmp_path, first=("b", "environment-a", "full"))
    assert [results.machine.machine_id for results in found] == ["b", "a", "c"]


def test_provenances_are_never_mixed(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(machine_id="a", **SMALL))
    write_results(tmp_path, Synthetic(machine_id="b", provenance="emulated", **SMALL))
    with pytest.raises(DataError, match=r"never mixed.*b/environment-a/full: emulated"):
        load_results(tmp_path)


def test_a_record_of_another_machine_than_its_folder_is_refused(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    machine_record(Synthetic(machine_id="other")).write(folder / "machine.json")
    with pytest.raises(DataError, match="is of machine other"):
        load_results(tmp_path)


def test_blocks_of_another_profile_are_refused(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    path = folder / "measurements/optimization/minilm/blocks.parquet"
    pd.read_parquet(path).assign(profile="quick").to_parquet(path)
    with pytest.raises(DataError, match="column profile holds quick"):
        load_results(tmp_path)


def test_blocks_without_a_column_are_refused(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    path = folder / "measurements/optimization/minilm/blocks.parquet"
    pd.read_parquet(path).drop(columns="cpu_s").to_parquet(path)
    with pytest.raises(DataError, match="columns are missing: cpu_s"):
        load_results(tmp_path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    (folder / "plans/optimization-minilm.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"optimization-minilm\.json"):
        load_results(tmp_path)


def test_predictions_that_contradict_the_recorded_accuracy_are_refused(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    path = folder / "quality/minilm/original/cpu-eager/predictions.parquet"
    pd.read_parquet(path).assign(prediction=-1).to_parquet(path)
    results = load_results(tmp_path)[0]
    with pytest.raises(DataError, match="0 of 40 predictions are right"):
        results.correct("minilm", "original", "cpu-eager")
    assert results.correct("minilm", "original", "cuda-inductor") is None


def test_an_empty_folder_has_no_sets(tmp_path: Path) -> None:
    assert load_results(tmp_path) == []


def test_of_several_attempts_the_last_measured_one_counts() -> None:
    key = {"study": "s", "configuration": "c", "scenario": "x", "requests_ok": 5}
    blocks = pd.DataFrame(
        [
            {**key, "round": 1, "attempt": 1, "outcome": "measured", "value": 1},
            {**key, "round": 1, "attempt": 2, "outcome": "measured", "value": 2},
            {**key, "round": 1, "attempt": 3, "outcome": "invalid", "value": 3},
            {**key, "round": 2, "attempt": 1, "outcome": "measured", "value": 4, "requests_ok": 0},
        ]
    )
    assert usable_blocks(blocks)["value"].tolist() == [2]


def test_pooled_latencies_are_of_the_given_blocks_only() -> None:
    latencies = pd.DataFrame({"round": [1, 1, 2], "attempt": [1, 2, 1], "latency_s": [0.1, 0.2, 0.3]})
    blocks = pd.DataFrame({"round": [1, 2], "attempt": [2, 1]})
    assert pooled_latencies(latencies, blocks).tolist() == [0.2, 0.3]
    assert pooled_latencies(None, blocks).shape == (0,)


def test_warm_up_and_failed_requests_are_not_in_the_latencies(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    path = folder / "measurements/optimization/minilm/requests.parquet"
    requests = pd.read_parquet(path)
    kept = int((~requests["warmup"]).sum())
    timed_out = np.flatnonzero(~requests["warmup"])[0]
    requests["status"] = requests["status"].astype(str)
    requests.loc[timed_out, "status"] = "timeout"
    requests.to_parquet(path)
    found = load_results(tmp_path)[0].latencies
    assert sum(len(frame) for frame in found.values()) == kept - 1
