from pathlib import Path
from typing import Any

import pandas as pd

from inferlab.columns import TRIAL_COLUMNS
from inferlab.measure.journal import BLOCKS, REQUESTS, TRIALS, Journal


def rows(number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    requests = pd.DataFrame({"configuration": pd.Categorical([f"c{number}"] * 3), "round": number})
    return requests, pd.DataFrame({"round": [number], "throughput_per_s": [1.5]})


def test_a_killed_run_goes_on_from_its_finished_rounds(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "serving-m", "digest")
    journal.note("rate", 12.5)
    journal.write_round(0, *rows(0))
    (tmp_path / ".inferlab/journal/serving-m/digest/rounds/.0001.blocks.parquet.77.part").write_bytes(b"half")

    resumed = Journal(tmp_path, "serving-m", "digest")
    assert resumed.finished_rounds() == {0}
    assert resumed.note("rate") == 12.5
    resumed.write_round(1, *rows(1))
    resumed.deliver(tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out" / BLOCKS)["round"].tolist() == [0, 1]
    requests = pd.read_parquet(tmp_path / "out" / REQUESTS)
    assert requests["configuration"].astype(str).tolist() == ["c0"] * 3 + ["c1"] * 3
    assert isinstance(requests["configuration"].dtype, pd.CategoricalDtype)


def test_a_column_that_only_some_rounds_have_is_blank_in_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "serving-m", "digest")
    requests, blocks = rows(0)
    journal.write_round(0, requests, blocks)
    journal.write_round(1, requests, blocks.assign(fan_rpm=900.0))
    journal.deliver(tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out" / BLOCKS)["fan_rpm"].isna().tolist() == [True, False]


def test_blocks_are_those_of_rounds_that_are_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "serving-m", "digest")
    for number in (1, 0):
        journal.write_round(number, *rows(number))
    (tmp_path / ".inferlab/journal/serving-m/digest/rounds/0001.done").unlink()
    assert journal.blocks()["round"].tolist() == [0]


def test_trials_stay_and_are_delivered_beside_the_rounds(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "tuning-m", "digest")
    journal.write_round(0, *rows(0))
    assert journal.trials() == []
    first: dict[str, Any] = {name: 1 if kind != "str" else "a" for name, kind in TRIAL_COLUMNS.items()}
    first |= {"rate_per_s": None, "chosen": False}
    journal.write_trials([first])
    resumed = Journal(tmp_path, "tuning-m", "digest")
    resumed.write_trials([*resumed.trials(), {**first, "trial": 2, "rate_per_s": 5.5, "chosen": True}])
    resumed.deliver(tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out" / TRIALS)
    assert list(found.columns) == list(TRIAL_COLUMNS)
    assert found["trial"].tolist() == [1, 2]
    assert found["rate_per_s"].isna().tolist() == [True, False]
    assert found["chosen"].tolist() == [False, True]
    assert pd.read_parquet(tmp_path / "out" / BLOCKS)["round"].tolist() == [0]


def test_a_study_without_trials_or_with_nothing_to_measure_has_a_table_of_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "serving-m", "digest")
    journal.deliver_nothing(tmp_path / "nothing")
    journal.write_round(0, *rows(0))
    journal.deliver(tmp_path / "out")
    for folder in ("nothing", "out"):
        found = pd.read_parquet(tmp_path / folder / TRIALS)
        assert (len(found), list(found.columns)) == (0, list(TRIAL_COLUMNS))
    assert set(journal.note("delivered")) == {REQUESTS, BLOCKS, TRIALS}


def test_other_inputs_start_afresh(tmp_path: Path) -> None:
    Journal(tmp_path, "serving-m", "digest").write_round(0, *rows(0))
    assert Journal(tmp_path, "serving-m", "changed").finished_rounds() == set()


def test_results_that_dvc_never_took_over_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "serving-m", "digest")
    journal.write_round(0, *rows(0))
    journal.deliver(tmp_path / "out")
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    assert Journal(tmp_path, "serving-m", "digest").finished_rounds() == {0}


def test_results_that_dvc_has_are_measured_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "serving-m", "digest")
    journal.write_round(0, *rows(0))
    journal.deliver(tmp_path / "out")
    (tmp_path / "dvc.lock").write_text("\n".join(journal.note("delivered").values()))
    assert Journal(tmp_path, "serving-m", "digest").finished_rounds() == set()


def test_delivery_drops_journals_of_other_inputs(tmp_path: Path) -> None:
    Journal(tmp_path, "serving-m", "old").write_round(0, *rows(0))
    journal = Journal(tmp_path, "serving-m", "digest")
    journal.write_round(0, *rows(0))
    journal.deliver(tmp_path / "out")
    assert [path.name for path in (tmp_path / ".inferlab/journal/serving-m").iterdir()] == ["digest"]
