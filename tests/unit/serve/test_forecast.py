import numpy as np
import pytest

from inferlab.serve import forecast as forecast_module
from inferlab.serve.forecast import FORGOTTEN_AFTER_BATCHES, SHARE_OF_LAST, Forecast


def test_a_batch_takes_as_long_as_those_of_its_size_class_did() -> None:
    forecast = Forecast()
    assert forecast.batch_s(1) == forecast.longest_s() == 0.0
    for items, took_s in ((1, 0.01), (2, 0.02), (16, 0.16)):
        forecast.ran(items, took_s)
    assert forecast.batch_s(1) == 0.01
    assert forecast.batch_s(2) == 0.02
    assert [forecast.batch_s(items) for items in (9, 12, 16)] == [0.16] * 3
    assert forecast.longest_s() == 0.16


def test_a_class_of_which_none_ran_is_like_the_nearest() -> None:
    forecast = Forecast()
    forecast.ran(1, 0.01)
    forecast.ran(64, 0.64)
    assert forecast.batch_s(2) == 0.01
    assert forecast.batch_s(32) == 0.64
    assert forecast.batch_s(1024) == 0.64


def test_the_mean_follows_what_batches_take_now() -> None:
    forecast = Forecast()
    forecast.ran(4, 1.0)
    forecast.ran(4, 2.0)
    assert forecast.batch_s(4) == pytest.approx(1.0 + SHARE_OF_LAST)
    for _ in range(50):
        forecast.ran(4, 3.0)
    assert forecast.batch_s(4) == pytest.approx(3.0, rel=1e-3)


def test_what_surely_suffices_follows_the_scatter_of_batches() -> None:
    forecast = Forecast()
    assert forecast.surely_s(8) == 0.0
    for _ in range(50):
        forecast.ran(8, 1.0)
    assert forecast.surely_s(8) == pytest.approx(forecast.batch_s(8))
    times_s = np.random.default_rng(0).normal(1.0, 0.05, 5000)
    covered = []
    for took_s in times_s.tolist():
        covered.append(took_s <= forecast.surely_s(8))
        forecast.ran(8, took_s)
    # as with the allowance
    assert 0.97 < np.mean(covered[100:]) < 0.9999
    assert forecast.surely_s(8) < 1.0 + 0.05 * 8


def test_doubt_shortens_what_nothing_else_would() -> None:
    forecast = Forecast()
    forecast.ran(1, 1.0)
    forecast.doubt(2)
    assert forecast.batch_s(1) == 1.0
    assert forecast.batch_s(2) == pytest.approx(1.0 - SHARE_OF_LAST)
    for _ in range(60):
        forecast.doubt(2)
    assert forecast.batch_s(2) < 1e-5


def test_the_allowance_covers_nearly_all_errors_of_a_constant_spread() -> None:
    forecast = Forecast()
    assert forecast.allowance_s() == 0.0
    errors_s = np.random.default_rng(0).normal(0.03, 0.01, 5000)
    covered = []
    for error_s in errors_s.tolist():
        covered.append(error_s <= forecast.allowance_s())
        forecast.was_off(error_s)
    # a known mean and deviation would leave out one of 1,400; both are estimates of about ten errors each
    assert 0.97 < np.mean(covered[100:]) < 0.9999


def test_answers_that_all_come_early_are_expected_early() -> None:
    forecast = Forecast()
    for _ in range(100):
        forecast.was_off(-0.5)
    assert forecast.allowance_s() == pytest.approx(-0.5, abs=0.01)


def test_a_class_of_which_none_ran_for_long_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(forecast_module, "clock", lambda: now_s)
    forecast = Forecast()
    forecast.ran(8, 3.0)
    forecast.ran(4, 0.01)
    assert forecast.batch_s(8) == 3.0
    now_s += 3.0 * FORGOTTEN_AFTER_BATCHES - 0.1
    assert forecast.batch_s(8) == 3.0
    now_s += 0.2
    assert forecast.batch_s(8) == 0.01
    assert forecast.batch_s(4) == 0.01  # there is nothing else to go by
