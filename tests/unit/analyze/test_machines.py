"""The same work on several machines, and that nothing else changes where there are several."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.machines import machine_comparisons
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import rows_of
from inferlab.analyze.tables import write_tables

SMALL = {"studies": ("optimization",), "rounds": 8, "requests": 20, "samples": 40}
HERE = ("a", "environment-a", "full")
TWICE_AS_SLOW = {"machine_id": "b", "base_latency_s": 0.020, "http_s": 0.002, "seed": 2, "weights": "4567"}


def compared(machines: Path) -> pd.DataFrame:
    sets = load_results(machines, first=HERE)
    return machine_comparisons([row for found in sets for row in rows_of(found, STUDY_SCENARIOS)], 0.95)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    machines: Path = tmp_path_factory.mktemp("results") / "machines"
    write_results(machines, Synthetic(machine_id="a", **SMALL))
    write_results(machines, Synthetic(**TWICE_AS_SLOW, **SMALL))
    return compared(machines)


def test_every_configuration_stands_beside_itself_on_the_first_machine(frame: pd.DataFrame) -> None:
    others = frame[frame["machine_id"] == "b"]
    assert len(others) == len(frame) / 2 == 2 * 2 * 7
    assert set(others["against_machine_id"]) == {"a"}
    assert (others["against_target"] == others["target"]).all()
    assert others["weights"].eq("other").all()
    assert frame.loc[frame["machine_id"] == "a", "ratio"].isna().all()


def test_a_machine_that_is_twice_as_slow_is_worse_in_both_metrics(frame: pd.DataFrame) -> None:
    others = frame[frame["machine_id"] == "b"].set_index("metric")
    expected = {"latency_p50_s": 2.0, "throughput_per_s": 0.5}
    for metric, ratio in expected.items():
        lines = others.loc[metric]
        assert np.allclose(lines["ratio"], ratio, rtol=0.15)
        inside = (lines["ratio_low"] < lines["ratio"]) & (lines["ratio"] < lines["ratio_high"])
        assert inside.all()
        assert set(lines["verdict"]) == {"worse"}
    assert (others["p_adjusted"] >= others["p_value"]).all()


def test_machines_alike_are_open_and_the_files_of_their_weights_the_same(tmp_path: Path) -> None:
    for machine_id, seed in (("a", 1), ("b", 2)):
        write_results(tmp_path, Synthetic(machine_id=machine_id, seed=seed, **SMALL))
    others = compared(tmp_path).query("machine_id == 'b'")
    assert set(others["verdict"]) == {"open"}
    assert set(others["weights"]) == {"same"}


def test_a_target_that_the_first_machine_lacks_stands_against_its_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path, Synthetic(machine_id="a", **SMALL))
    monkeypatch.setattr("synthetic_results.MEASURED_TARGETS", {"cpu-openvino": 1.0, "inf2-neuronx": 0.25})
    monkeypatch.setattr("synthetic_results.ABSENT", {"cpu-eager": ("not asked for", "")})
    write_results(tmp_path, Synthetic(machine_id="b", **SMALL))
    others = compared(tmp_path).query("machine_id == 'b'").set_index("target")
    assert set(others.loc["inf2-neuronx", "against_target"]) == {"cpu-openvino"}
    assert (others.loc["inf2-neuronx"].query("metric == 'throughput_per_s'")["ratio"] > 1.5).all()


def test_scenarios_that_mean_something_else_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path, Synthetic(machine_id="a", **SMALL))
    monkeypatch.setattr("synthetic_results.CALLERS", {"one-caller": 1, "eight-callers": 16})
    write_results(tmp_path, Synthetic(machine_id="b", **SMALL))
    assert set(compared(tmp_path)["scenario"]) == {"one-caller"}


def test_one_machine_alone_has_nothing_to_compare(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(machine_id="a", **SMALL))
    assert compared(tmp_path).empty


def test_environments_of_one_machine_are_compared_as_machines_are(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(machine_id="a", **SMALL))
    write_results(tmp_path, Synthetic(machine_id="a", environment_id="environment-b", torch="2.9.0", **SMALL))
    others = compared(tmp_path).query("environment_id == 'environment-b'")
    assert len(others) > 0
    assert set(others["against_environment_id"]) == {"environment-a"}


def test_what_a_machine_measured_is_judged_alone_whatever_stands_beside_it(tmp_path: Path) -> None:
    """Families, noise floors and verdicts stay within a machine: its lines are those that it has alone."""
    studies = ("optimization", "scalability", "breakdown", "tuning")
    sizes = {"rounds": 4, "requests": 15, "samples": 40, "studies": studies}
    alone, both = tmp_path / "alone", tmp_path / "both"
    write_results(alone / "machines", Synthetic(**{**TWICE_AS_SLOW, "noise": 0.05}, **sizes))
    shutil.copytree(alone, both)
    write_results(both / "machines", Synthetic(machine_id="a", **sizes))
    for place in (alone, both):
        write_tables(place, STUDY_SCENARIOS, ["common-rate"], 0.95, HERE)
    across = {"machines.csv", "machine_comparisons.csv"}
    names = [path.relative_to(both) for path in both.rglob("*.csv")]
    tables = [name for name in names if name.parts[0] != "plots" and name.name not in across]
    assert len(tables) > 15
    for name in tables:
        found = pd.read_csv(both / name, low_memory=False)
        own = found[found["machine_id"] == "b"].reset_index(drop=True)
        pd.testing.assert_frame_equal(
            own, pd.read_csv(alone / name, low_memory=False), check_dtype=False, obj=str(name)
        )
