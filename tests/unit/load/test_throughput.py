import numpy as np
import pytest

from inferlab.load.throughput import closed_loop_throughput, open_loop_throughput


def test_closed_loop_adds_the_callers_own_rates() -> None:
    # caller 0 answers 2 requests in 1 s, caller 1 one request in 0.8 s: no caller waits for the other to finish
    rate = closed_loop_throughput(
        caller=np.array([0, 1, 0]),
        scheduled_s=np.array([0.0, 0.0, 0.5]),
        done_s=np.array([0.5, 0.8, 1.0]),
        answered=np.array([True, True, True]),
    )
    assert rate == pytest.approx(2 / 1.0 + 1 / 0.8)


def test_closed_loop_keeps_the_time_of_failed_requests_but_not_their_count() -> None:
    rate = closed_loop_throughput(
        caller=np.zeros(2, dtype=int),
        scheduled_s=np.array([0.0, 1.0]),
        done_s=np.array([1.0, 2.0]),
        answered=np.array([True, False]),
    )
    assert rate == pytest.approx(0.5)


def test_closed_loop_agrees_with_littles_law() -> None:
    random = np.random.default_rng(1)
    callers, each = 8, 50
    latency_s = random.exponential(0.01, (callers, each))
    done_s = latency_s.cumsum(axis=1)
    caller = np.repeat(np.arange(callers), each)
    rate = closed_loop_throughput(
        caller, (done_s - latency_s).ravel(), done_s.ravel(), np.ones(callers * each, dtype=bool)
    )
    assert rate == pytest.approx((1 / latency_s.mean(axis=1)).sum())


def test_open_loop_counts_answers_inside_the_window_whoever_asked() -> None:
    done_s = np.array([0.9, 1.0, 1.5, 1.99, 2.0, 2.5])
    answered = np.array([True, True, False, True, True, True])
    assert open_loop_throughput(done_s, answered, 1.0, 2.0) == pytest.approx(2.0)


def test_open_loop_has_no_bias_in_a_steady_state_however_long_the_latency() -> None:
    done_s = np.arange(0, 3, 0.01) + 0.7
    assert open_loop_throughput(done_s, np.ones(len(done_s), dtype=bool), 1.0, 3.0) == pytest.approx(100, abs=0.51)


def test_nobody_measured_is_no_throughput() -> None:
    nothing = np.empty(0)
    assert closed_loop_throughput(nothing, nothing, nothing, nothing) == 0
    assert open_loop_throughput(nothing, nothing.astype(bool), 0.0, 1.0) == 0
