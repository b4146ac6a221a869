import math
from typing import Any

import pytest

from inferlab.measure.validity import Evidence, Limits, why_invalid

LIMITS = Limits(
    schedule_lag_p99_s=0.005,
    client_cpu_percent=90,
    machine_cpu_other_percent=15,
    cpu_steal_percent=5,
    little_tolerance=0.1,
)
GOOD: dict[str, Any] = {
    "requests_ok": 100,
    "requests_failed": 0,
    "schedule_lag_p99_s": 0.001,
    "client_cpu_percent": 30,
    "machine_cpu_other_percent": 1,
    "cpu_steal_percent": 0,
    "throttle_events": 0,
    "callers_by_little": 8.1,
    "callers": 8,
    "served_share": math.nan,
}


def test_a_good_block_is_valid() -> None:
    assert why_invalid(Evidence(**GOOD), LIMITS) == ("", "")
    open_loop = {**GOOD, "callers": math.nan, "callers_by_little": math.nan, "served_share": 1.0}
    assert why_invalid(Evidence(**open_loop), LIMITS) == ("", "")
    on_no_accelerator = {**GOOD, "accelerator_other_processes": math.nan}
    assert why_invalid(Evidence(**on_no_accelerator), LIMITS) == ("", "")
    in_process = {**GOOD, "client_cpu_percent": math.nan}
    assert why_invalid(Evidence(**in_process), LIMITS) == ("", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests_ok": 0}, "no request was answered"),
        ({"accelerator_other_processes": 2}, "2 process(es) of others were on the accelerator"),
        ({"requests_failed": 1}, "1 of 101 requests failed"),
        ({"throttle_events": 1}, "throttled"),
        ({"schedule_lag_p99_s": 0.006}, "client was late: p99 of its lag was 6.0 ms"),
        ({"client_cpu_percent": 91}, "bottleneck"),
        ({"cpu_steal_percent": 6}, "hypervisor"),
        ({"machine_cpu_other_percent": 16}, "other processes used 16 %"),
        ({"callers_by_little": 7.0}, "Little's law does not hold"),
        ({"callers": math.nan, "served_share": 0.8}, "only 80% of the offered rate"),
    ],
)
def test_each_reason_is_found_and_comes_with_advice(change: dict[str, Any], words: str) -> None:
    reason, advice = why_invalid(Evidence(**{**GOOD, **change}), LIMITS)
    assert words in reason
    assert advice
