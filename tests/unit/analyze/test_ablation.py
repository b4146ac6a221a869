"""What ingredients cost, on results of which the truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import HANDLER_S, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.ablation import INGREDIENTS, ablation_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.studies.breakdown import HANDLERS

HTTP_S = 0.001


def lines_of(folder: Path, **changes: object) -> pd.DataFrame:
    truth = Synthetic(studies=("breakdown",), **{"rounds": 10, "noise": 0.003, "http_s": HTTP_S, **changes})  # type: ignore[arg-type]
    write_results(folder, truth)
    return ablation_table(rows_of(load_results(folder)[0], STUDY_SCENARIOS), 0.95)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    found = lines_of(tmp_path_factory.mktemp("ablation"), requests=400)
    return found[found["scenario"] == "one-caller"].set_index("handler")


def test_every_variant_of_the_handler_tells_of_an_ingredient(frame: pd.DataFrame, rows: list[Row]) -> None:
    assert set(INGREDIENTS) == set(HANDLERS) == set(frame.index)
    assert frame["ingredient"].is_unique
    assert ablation_table(rows, 0.95).empty


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_cost_is_what_the_ingredient_adds_to_the_latency(frame: pd.DataFrame, handler: str) -> None:
    """A handler that lacks it is shorter by that, one that adds it longer."""
    line = frame.loc[handler]
    difference_s = HTTP_S * (HANDLER_S[handler] - HANDLER_S[""])
    truth_s = difference_s if handler in ("response-model", "middleware") else -difference_s
    width_s = line["cost_high_s"] - line["cost_low_s"]
    assert abs(line["cost_s"] - truth_s) < width_s
    assert line["plain_latency_s"] == pytest.approx(0.012, rel=0.1)
    assert line["cost_share_low"] <= line["cost_share"] <= line["cost_share_high"]
    assert line["cost_share"] == pytest.approx(truth_s / 0.012, abs=0.02)


def test_verdicts_say_which_way_and_a_tie_how_many_more_rounds(frame: pd.DataFrame) -> None:
    verdicts = frame["verdict"].to_dict()
    assert {name for name, verdict in verdicts.items() if verdict == "costs"} == {
        "no-validation",
        "binary",
        "middleware",
    }
    assert verdicts["no-thread-pool"] == "saves"
    assert verdicts["no-encoder"] == verdicts["response-model"] == "tie"
    assert (frame["p_adjusted"] >= frame["p_value"]).all()
    assert frame.loc[["no-validation", "middleware"], "more_rounds_needed"].isna().all()


def test_holm_counts_all_lines_of_a_study(tmp_path: Path) -> None:
    found = lines_of(tmp_path, models=("minilm", "noop"), requests=40)
    assert len(found) == 2 * 2 * len(HANDLERS)
    least = found["p_value"].idxmin()
    assert found.loc[least, "p_adjusted"] == pytest.approx(min(1, len(found) * found.loc[least, "p_value"]))


def test_without_the_handler_or_its_twin_nothing_is_judged(tmp_path: Path) -> None:
    plain = "minilm/original/cpu-openvino/fastapi-plain/none"
    for name, invalid in (("twin", f"{plain}/twin"), ("handler", plain)):
        found = lines_of(tmp_path / name, invalid=(invalid,), requests=20, rounds=3)
        assert set(found["verdict"]) == {""}
        assert found["cost_s"].isna().all() == (name == "handler")
        assert found["noise_floor"].isna().all()
    assert len(found) == 2 * len(HANDLERS)
    assert np.isnan(found["p_adjusted"]).all()
