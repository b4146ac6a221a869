"""The files that analyze writes."""

import json
from pathlib import Path

import pandas as pd
import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.tables import write_tables
from inferlab.files import check_digests

SMALL = {"studies": ("optimization",), "rounds": 3, "requests": 30, "samples": 40}


def write(results: Path, this: tuple[str, str, str] | None) -> dict[str, bytes]:
    write_tables(results, STUDY_SCENARIOS, ["common-rate"], 0.95, this)
    return {path.name: path.read_bytes() for path in results.rglob("*") if path.suffix in (".csv", ".json")}


def test_this_machine_stands_first_and_every_line_names_its_machine(tmp_path: Path) -> None:
    for machine in ("a", "b"):
        write_results(tmp_path / "machines", Synthetic(machine_id=machine, **SMALL))
    write(tmp_path, ("b", "environment-a", "full"))
    for name in ("latency", "throughput", "utilization", "optimization", "machines", "noise"):
        frame = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert list(dict.fromkeys(frame["machine_id"])) == ["b", "a"], name
    assert set(pd.read_csv(tmp_path / "comparisons.csv")["machine_id"]) == {"a", "b"}
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"]


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    write_results(tmp_path / "machines", Synthetic(**SMALL))
    first = write(tmp_path, None)
    assert write(tmp_path, None) == first


def test_what_the_report_reads_is_listed_with_its_checksum(tmp_path: Path) -> None:
    write_results(tmp_path / "machines", Synthetic(**SMALL))
    write(tmp_path, None)
    listed = json.loads((tmp_path / "tables" / "checksums.json").read_text())
    assert set(listed) == {"comparisons.csv"} | {f"tables/{path.name}" for path in tmp_path.glob("tables/*.csv")}
    check_digests(tmp_path, listed)


def test_plots_hold_one_line_a_measured_configuration_and_scenario(tmp_path: Path) -> None:
    write_results(tmp_path / "machines", Synthetic(**SMALL))
    write(tmp_path, ("machine-a", "environment-a", "full"))
    plot = pd.read_csv(tmp_path / "plots" / "latency.csv")
    assert len(plot) == 2 * 7
    assert plot["label"].is_unique
    assert plot["latency_p50_ms"].between(1, 200).all()


def test_no_results_at_all_still_give_tables(tmp_path: Path) -> None:
    (tmp_path / "machines").mkdir()
    write(tmp_path, None)
    assert pd.read_csv(tmp_path / "tables" / "latency.csv").empty
    assert json.loads((tmp_path / "metrics.json").read_text()) == {}


def test_a_run_whose_blocks_are_all_invalid_still_gives_tables_with_the_reason(tmp_path: Path) -> None:
    every = tuple(row.id for row in Synthetic(**SMALL).configurations("optimization", "minilm"))
    write_results(tmp_path / "machines", Synthetic(**SMALL, invalid=every))
    write(tmp_path, ("machine-a", "environment-a", "full"))
    assert pd.read_csv(tmp_path / "plots" / "latency.csv").empty
    reasons = pd.read_csv(tmp_path / "tables" / "latency.csv")["reason"].astype(str)
    assert reasons.str.contains("the client was late").any()


def test_speeds_with_a_cache_are_no_headline_and_no_papers(tmp_path: Path) -> None:
    write_results(tmp_path / "machines", Synthetic(**{**SMALL, "studies": ("caching", "optimization")}))
    write(tmp_path, ("machine-a", "environment-a", "full"))
    plotted = pd.read_csv(tmp_path / "plots" / "throughput.csv")["label"]
    assert len(plotted)
    assert not plotted.str.contains("cache").any()
    latency = pd.read_csv(tmp_path / "tables" / "latency.csv")
    of_study = dict(list(latency.groupby("study")))
    here = of_study["optimization"].set_index(["configuration", "scenario"])["latency_p50_s"]
    shown = json.loads((tmp_path / "metrics.json").read_text())["latency_p50_ms"]["minilm"]["eight-callers"]
    expected = 1000 * here["minilm/original/cpu-openvino/fastapi/dynamic", "eight-callers"]
    assert shown["cpu-openvino/original"] == pytest.approx(expected, abs=1e-3)
    cached = of_study["caching"]["cache_share"] > 0
    assert of_study["caching"].loc[cached, "paper_latency_mean_ms"].isna().all()
