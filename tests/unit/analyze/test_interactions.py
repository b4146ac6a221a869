"""Factorial contrasts on data whose truth is known."""

from itertools import product

import numpy as np
import pytest

from inferlab.analyze.interactions import contrasts, interaction_table
from inferlab.analyze.rows import Row

FACTORS = ("precision", "batching", "path")


def test_contrasts_give_back_the_effects_that_the_cells_were_made_from() -> None:
    effects = {
        ("precision",): np.log(0.5),
        ("path",): np.log(1.2),
        ("precision", "batching"): np.log(0.9),
        ("precision", "batching", "path"): np.log(1.1),
    }
    logs = np.zeros((3, 2, 2, 2))
    for round_number, cell in product(range(3), product((0, 1), repeat=3)):
        levels = dict(zip(FACTORS, cell, strict=True))
        value = float(round_number)  # a drift that the round shares
        for names, effect in effects.items():
            sign = np.prod([1 if levels[name] else -1 for name in names])
            value += sign * effect / 2 ** len(names)
        logs[(round_number, *cell)] = value
    found = contrasts(logs, FACTORS)
    assert len(found) == 7
    for names, values in found.items():
        assert values == pytest.approx(np.full(3, effects.get(names, 0.0)), abs=1e-12)


def test_a_pair_is_a_ratio_of_ratios() -> None:
    logs = np.log(np.array([[[10.0, 8.0], [6.0, 3.0]]]))
    found = contrasts(logs, ("precision", "batching"))
    assert np.exp(found[("precision", "batching")]) == pytest.approx((3 / 6) / (8 / 10))
    assert np.exp(found[("precision",)]) == pytest.approx(np.sqrt((6 / 10) * (3 / 8)))


def test_table_finds_the_synthetic_truth(rows: list[Row]) -> None:
    frame = interaction_table(rows, 0.95).set_index(["target", "scenario", "metric", "contrast"]).sort_index()
    line = frame.loc[("cpu-openvino", "one-caller", "latency_p50_s")]
    # truth: 10 ms direct, 11 over HTTP; quantized 5 and 6; batching does nothing for one caller
    precision = np.sqrt((5 / 10) * (6 / 11))
    assert line.loc["precision", "ratio_low"] < precision < line.loc["precision", "ratio_high"]
    ratio_of_ratios = (6 / 5) / (11 / 10)
    pair = line.loc["precision × path"]
    assert pair["ratio_low"] < ratio_of_ratios < pair["ratio_high"]
    assert pair["meaning"] == "ratio of ratios"
    assert len(line) == 7


def test_a_target_without_int8_keeps_the_factors_that_it_has(rows: list[Row]) -> None:
    frame = interaction_table(rows, 0.95)
    eager = frame[frame["target"] == "cpu-eager"]
    assert set(eager["contrast"]) == {"batching", "path", "batching × path"}


def test_an_incomplete_grid_has_no_contrasts(rows: list[Row]) -> None:
    gone = "minilm/quantized/cpu-openvino/direct/dynamic"
    kept = [row for row in rows if row.keys["configuration"] != gone]
    frame = interaction_table(kept, 0.95)
    assert "cpu-openvino" not in set(frame["target"])
    assert interaction_table([], 0.95).empty
