"""Reading results/machines/: order, checks, and what may not stand together."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import Synthetic, machine_record, write_results

from inferlab.analyze.results import load_results, pooled_requests, usable_blocks
from inferlab.errors import ArtifactError, DataError
from inferlab.files import digests_of_folder

SMALL = {"studies": ("optimization",), "rounds": 2, "requests": 8, "samples": 40}


def test_this_runs_set_stands_first(tmp_path: Path) -> None:
    for machine in ("a", "b", "c"):
        write_results(tmp_path, Synthetic(machine_id=machine, **SMALL))
    found = load_results(tmp_path, first=("b", "environment-a", "full"))
    assert [results.machine.machine_id for results in found] == ["b", "a", "c"]


@pytest.mark.parametrize("provenance", ["emulated", "fake"])
def test_provenances_are_never_mixed(tmp_path: Path, provenance: str) -> None:
    write_results(tmp_path, Synthetic(machine_id="a", **SMALL))
    write_results(tmp_path, Synthetic(machine_id="b", provenance=provenance, **SMALL))
    with pytest.raises(DataError, match=rf"never mixed.*b/environment-a/full: {provenance}"):
        load_results(tmp_path)


def test_results_that_do_not_say_of_what_machine_are_named(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    (folder / "machine.json").unlink()
    with pytest.raises(ArtifactError, match=r"machine-a/environment-a/full/machine\.json is missing"):
        load_results(tmp_path)


def test_a_record_of_another_version_says_which(tmp_path: Path) -> None:
    path = write_results(tmp_path, Synthetic(**SMALL)) / "plans/optimization-minilm.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 7'))
    with pytest.raises(ArtifactError, match=r"optimization-minilm\.json has schema_version 7; this inferlab reads 1"):
        load_results(tmp_path)


def test_checksums_of_files_elsewhere_are_refused(tmp_path: Path) -> None:
    write_results(tmp_path / "machines", Synthetic(**SMALL))
    (tmp_path / "collected.json").write_text(json.dumps({"../..": {"x.json": "0"}}))
    with pytest.raises(ArtifactError, match=r"collected\.json is damaged: it lists '\.\./\.\./x\.json'"):
        load_results(tmp_path / "machines")


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


TWO = Synthetic(models=("minilm", "noop"), rounds=2, requests=8, samples=40)
CELL = "minilm/original/cpu-openvino"


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("plans/optimization-noop.json", "plans/optimization-minilm.json"),
        ("plans/serving-minilm.json", "plans/optimization-minilm.json"),
        ("optimizations/minilm-pruned.json", "optimizations/minilm-sparse.json"),
        (f"artifacts/{CELL}/artifact.json", "artifacts/minilm/sparse/cpu-openvino/artifact.json"),
        (f"quality/{CELL}/quality.json", "quality/minilm/original/cpu-eager/quality.json"),
        ("measurements/serving/minilm/blocks.parquet", "measurements/optimization/minilm/blocks.parquet"),
        ("measurements/serving/noop/blocks.parquet", "measurements/serving/minilm/blocks.parquet"),
    ],
)
def test_a_record_of_another_cell_is_named(tmp_path: Path, source: str, destination: str) -> None:
    folder = write_results(tmp_path, TWO)
    shutil.copyfile(folder / source, folder / destination)
    with pytest.raises(DataError, match=destination.replace(".", r"\.")):
        load_results(tmp_path)


@pytest.mark.parametrize("other", ["serving/minilm", "optimization/noop"])
def test_requests_of_other_blocks_are_named(tmp_path: Path, other: str) -> None:
    folder = write_results(tmp_path, TWO)
    path = folder / "measurements/optimization/minilm/requests.parquet"
    shutil.copyfile(folder / "measurements" / other / "requests.parquet", path)
    results = load_results(tmp_path)[0]
    with pytest.raises(DataError, match=r"optimization/minilm/requests\.parquet"):
        _ = results.requests


def test_requests_are_as_many_as_their_block_counted(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    path = folder / "measurements/optimization/minilm/requests.parquet"
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    results = load_results(tmp_path)[0]
    with pytest.raises(DataError, match=r"1 of 32 measured blocks .* round 2: 5 counted, 4 here"):
        _ = results.requests


@pytest.mark.parametrize("name", ["requests", "blocks"])
def test_a_missing_half_of_a_measurement_is_named(tmp_path: Path, name: str) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    (folder / f"measurements/optimization/minilm/{name}.parquet").unlink()
    with pytest.raises(ArtifactError, match=rf"{name}\.parquet is missing, although"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "measurements/optimization/minilm/blocks.parquet",
        "measurements/optimization/minilm/requests.parquet",
        f"quality/{CELL}/predictions.parquet",
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, share: float) -> None:
    path = write_results(tmp_path, Synthetic(**SMALL)) / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArtifactError, match=rf"{path.name} cannot be read .*; delete it and run dvc repro"):
        read_all(tmp_path)


def test_a_page_of_a_file_that_is_overwritten_is_named(tmp_path: Path) -> None:
    path = write_results(tmp_path, Synthetic(**SMALL)) / "measurements/optimization/minilm/requests.parquet"
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"requests\.parquet cannot be read"):
        read_all(tmp_path)


def read_all(machines: Path) -> None:
    """Read every file that the tables are made from."""
    for results in load_results(machines):
        assert results.requests
        for key in results.quality:
            results.correct(*key)


def collect(machines: Path) -> None:
    """List the checksums of one set, as collect does."""
    sets = {path.parent.relative_to(machines).as_posix(): path.parent for path in machines.glob("*/*/*/machine.json")}
    listed = {name: digests_of_folder(folder) for name, folder in sets.items()}
    (machines.parent / "collected.json").write_text(json.dumps(listed), encoding="utf-8")


def test_a_file_that_is_not_the_collected_one_is_named(tmp_path: Path) -> None:
    machines = tmp_path / "machines"
    folder = write_results(machines, Synthetic(**SMALL))
    collect(machines)
    assert len(load_results(machines)) == 1
    write_results(machines, Synthetic(machine_id="brought-since", **SMALL))
    assert len(load_results(machines)) == 2
    path = folder / f"quality/{CELL}/predictions.parquet"
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    with pytest.raises(ArtifactError, match=r"predictions\.parquet is not the file that .*collected\.json lists"):
        load_results(machines)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"predictions\.parquet is missing"):
        load_results(machines)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_a_damaged_list_of_what_was_collected_is_named(tmp_path: Path, text: str) -> None:
    machines = tmp_path / "machines"
    write_results(machines, Synthetic(**SMALL))
    (tmp_path / "collected.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"collected\.json is damaged.*run inferlab collect"):
        load_results(machines)


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


def test_pooled_requests_are_of_the_given_blocks_only() -> None:
    requests = pd.DataFrame({"round": [1, 1, 2], "attempt": [1, 2, 1], "latency_s": [0.1, 0.2, 0.3]})
    requests["cached"] = [False, True, False]
    blocks = pd.DataFrame({"round": [1, 2], "attempt": [2, 1]})
    found = pooled_requests(requests, blocks)
    assert found.to_dict("list") == {"round": [1, 2], "latency_s": [0.2, 0.3], "cached": [True, False]}
    assert pooled_requests(None, blocks).shape == (0, 3)


def test_warm_up_and_failed_requests_are_not_in_the_latencies(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(**SMALL))
    path = folder / "measurements/optimization/minilm/requests.parquet"
    requests = pd.read_parquet(path)
    kept = int((~requests["warmup"]).sum())
    timed_out = np.flatnonzero(~requests["warmup"])[0]
    requests["status"] = requests["status"].astype(str)
    requests.loc[timed_out, "status"] = "timeout"
    requests.to_parquet(path)
    blocks = pd.read_parquet(path.with_name("blocks.parquet"))
    key = ["configuration", "scenario", "round"]
    of_it = (blocks[key].astype(str) == requests.loc[timed_out, key].astype(str)).all(axis=1)
    blocks.loc[of_it, "requests_ok"] -= 1
    blocks.to_parquet(path.with_name("blocks.parquet"))
    found = load_results(tmp_path)[0].requests
    assert sum(len(frame) for frame in found.values()) == kept - 1
