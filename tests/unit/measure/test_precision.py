import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from inferlab.measure.precision import RoundsRule, half_width, half_widths, rule_of, widest

RULE = RoundsRule(precision=0.05, least_rounds=3, max_rounds=6)


def blocks(latencies_s: dict[str, list[float]], **more: object) -> pd.DataFrame:
    """One block a round of each configuration, all measured."""
    rows = [
        {"configuration": name, "scenario": "s", "round": number, "attempt": 0, "latency_p50_s": value, **more}
        for name, values in latencies_s.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(outcome="measured")


def test_the_half_width_is_that_of_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(0, 1, (7, 3))
    low, high = stats.t.interval(0.95, 6, loc=values.mean(axis=0), scale=stats.sem(values, axis=0))
    np.testing.assert_allclose(half_width(values), (high - low) / 2)
    assert np.isnan(half_width(values[:1])).all()


def test_widths_are_of_the_logarithms_of_each_cell() -> None:
    found = half_widths(blocks({"a": [0.010, 0.011, 0.012], "b": [0.5, 0.5, 0.5]}))
    assert found["a", "s"] == pytest.approx(float(half_width(np.log(np.array([10.0, 11.0, 12.0])))))
    assert found["b", "s"] == pytest.approx(0, abs=1e-12)


def test_a_round_counts_with_its_last_measured_attempt() -> None:
    frame = blocks({"a": [0.01, 0.01, 0.01]})
    invalid = frame.iloc[:1].assign(attempt=1, outcome="invalid", latency_p50_s=9.0)
    again = frame.iloc[1:2].assign(attempt=2, latency_p50_s=0.02)
    found = half_widths(pd.concat([again, invalid, frame]))
    assert found["a", "s"] == pytest.approx(float(half_width(np.log(np.array([0.01, 0.02, 0.01])))))


def test_a_cell_without_two_valid_rounds_is_never_precise() -> None:
    frame = blocks({"a": [0.01] * 4, "b": [0.01] * 4})
    frame.loc[(frame["configuration"] == "b") & (frame["round"] > 0), "outcome"] = "invalid"
    assert math.isnan(half_widths(frame)["b", "s"])
    assert widest(frame) == math.inf
    assert not RULE.is_met(frame)


def test_a_rule_is_met_by_precision_after_the_least_rounds_or_by_the_most() -> None:
    narrow, wide = [0.01, 0.01001] * 3, [0.01, 0.03] * 3
    assert not RULE.is_met(blocks({"a": narrow[:2]}))
    assert RULE.is_met(blocks({"a": narrow[:3]}))
    assert not RULE.is_met(blocks({"a": narrow[:5], "b": wide[:5]}))
    assert RULE.is_met(blocks({"a": narrow, "b": wide}))


def test_blocks_say_by_which_rule_they_were_measured() -> None:
    frame = blocks({"a": [0.01] * 3}, **RULE.columns())
    assert rule_of(frame) == RULE
    assert rule_of(blocks({"a": [0.01] * 3})) is None
    assert rule_of(frame.assign(stop_precision=math.nan)) is None
    assert rule_of(frame.iloc[:0]) is None
