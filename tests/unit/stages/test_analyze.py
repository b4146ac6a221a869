"""Analyze: from collected records to files."""

import json
from pathlib import Path

import pandas as pd
import yaml
from synthetic_results import Synthetic, machine_record, write_results

from inferlab.params import Params
from inferlab.stages import analyze

SMALL = {"rounds": 2, "requests": 12, "samples": 20}


def test_the_machine_of_this_run_stands_first_and_open_loops_are_known(tmp_path: Path, params: Params) -> None:
    for machine in ("a", "b"):
        write_results(tmp_path / "results/machines", Synthetic(machine_id=machine, **SMALL))
    machine_record(Synthetic(machine_id="b")).write(tmp_path / "results/machine.json")
    analyze.run(params, tmp_path)
    frame = pd.read_csv(tmp_path / "results/tables/latency.csv")
    assert list(dict.fromkeys(frame["machine_id"])) == ["b", "a"]
    assert set(frame[frame["loop"] == "open"]["scenario"]) == {"common-rate"}
    assert json.loads((tmp_path / "results/metrics.json").read_text())["latency_p50_ms"]


def test_what_is_brought_from_elsewhere_makes_the_stage_run() -> None:
    stages = yaml.safe_load((Path(__file__).parents[3] / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "results/machines" in stages["analyze"]["deps"]


def test_folders_of_other_machines_alone_give_tables_and_no_headline(tmp_path: Path, params: Params) -> None:
    write_results(tmp_path / "results/machines", Synthetic(studies=("optimization",), **SMALL))
    analyze.run(params, tmp_path)
    assert len(pd.read_csv(tmp_path / "results/comparisons.csv")) > 0
    assert json.loads((tmp_path / "results/metrics.json").read_text()) == {}
