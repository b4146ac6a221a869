"""Numbers as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.report import text

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0123456, "0.0123"),
        (1.0, "1.00"),
        (9.996, "10.0"),
        (99.96, "100"),
        (123.4, "123"),
        (1234.0, "1,230"),
        (14400.4, "14,400"),
        (-2.345, "-2.35"),
        (0.0, "0"),
        (NAN, "–"),
        (None, "–"),
    ],
)
def test_three_significant_digits(value: float | None, expected: str) -> None:
    assert text.number(value) == expected


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_a_number_as_text_is_within_half_a_digit(value: float) -> None:
    shown = float(text.number(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.0051)


def test_intervals_and_spreads() -> None:
    assert text.with_interval(0.0123, 0.012, 0.0126, 1000) == "12.3 [12.0, 12.6]"
    assert text.with_interval(5.0, NAN, NAN) == "5.00"
    assert text.with_interval(NAN, 1.0, 2.0) == "–"
    assert text.published(12.5, 0.8) == "12.5 ± 0.8"
    assert text.published(NAN) == ""


@pytest.mark.parametrize(
    ("log_ratio", "expected"),
    [(math.log(1.274), "×/÷ 1.27"), (math.log(1 / 1.274), "×/÷ 1.27"), (0.009, "×/÷ 1.009"), (NAN, "–")],
)
def test_a_log_ratio_is_a_factor_up_or_down(log_ratio: float, expected: str) -> None:
    assert text.factor(log_ratio) == expected


def test_percentages_line_up_and_minus_is_a_minus() -> None:
    assert text.percent(0.0234) == "2.3 %"
    assert text.percent_interval(-0.015, -0.03, 0.0004, 2, True) == "−1.50 [−3.00, +0.04]"
    assert text.percent_interval(NAN, NAN, NAN) == "–"


def test_labels_and_reasons() -> None:
    line = {"optimization": "original", "path": "fastapi", "batching": "dynamic", "twin": True}
    assert text.configuration_label(line) == "original · fastapi · batching (A/A twin)"
    why = {"outcome": "unavailable", "reason": "no device", "hint": "buy one"}
    assert text.why_not(why) == "unavailable: no device (how to get it: buy one)"
    assert text.why_not({"outcome": "unsupported", "reason": "", "hint": NAN}) == "unsupported"


def test_text_becomes_escaped_html() -> None:
    assert text.heading(2, "a < b") == "<h2>a &lt; b</h2>"
    assert "&amp;" in text.paragraph("a & b")
    assert text.Fragment("<p>x</p>")._repr_html_() == "<p>x</p>"


def test_an_interval_without_an_upper_end_says_so() -> None:
    assert text.with_interval(2.0, 1.5, math.inf) == "2.00 [1.50, …]"


def test_a_batch_limit_of_its_own_tells_configurations_apart() -> None:
    line = {"optimization": "original", "path": "fastapi", "batching": "dynamic", "batch_limit": 4.0}
    assert text.configuration_label(line) == "original · fastapi · batching up to 4"
    assert text.configuration_label({**line, "batch_limit": NAN}) == "original · fastapi · batching"


def test_a_handler_of_its_own_tells_configurations_apart() -> None:
    line = {"optimization": "original", "path": "fastapi-plain", "batching": "none", "handler": "no-thread-pool"}
    assert text.configuration_label(line) == "original · fastapi-plain (no thread pool) · no batching"
    assert text.configuration_label({**line, "handler": ""}) == "original · fastapi-plain · no batching"
