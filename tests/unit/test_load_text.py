import pytest

from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad
from inferlab.load_text import LATENCIES, as_text

FOUND = {
    "outcome": "measured",
    "reason": "",
    "advice": "",
    "duration_s": 10.0,
    "warmup_s": 1.0,
    "requests_ok": 12345,
    "requests_error": 0,
    "requests_timeout": 2,
    "requests_rejected": 0,
    "throughput_per_s": 1234.5,
    "offered_rate_per_s": None,
    **dict.fromkeys(LATENCIES),
    "latency_mean_s": 0.0015,
    "latency_mean_half_width_s": 0.0001,
    "latency_p50_s": 0.001,
    "schedule_lag_p99_s": 0.0002,
    "client_cpu_percent": 12.0,
    "ceiling_per_s": None,
    "server_infer_mean_s": 0.002,
    "server_queue_mean_s": None,
    "server_batch_size_mean": 1.5,
    "first_error": "timeout: no answer in time",
}
CLOSED = Block(ClosedLoad(8), 1.0, 10.0, 30.0)


def line(text: str, name: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(name)]
    return found.removeprefix(name).strip()


def test_every_figure_has_its_unit_and_what_is_null_is_left_out() -> None:
    text = as_text(FOUND, CLOSED)
    assert line(text, "scenario") == "closed loop, 8 clients"
    assert line(text, "requests") == "12,345 ok, 0 error, 2 timeout, 0 rejected"
    assert line(text, "latency") == "mean 1.500 ± 0.100 ms; p50 1.000 ms"
    assert line(text, "server's means") == "infer 2.000 ms; batch size 1.50"
    assert line(text, "first failure") == "timeout: no answer in time"
    assert line(text, "client") == "p99 of its lag 0.200 ms; 12 % of its core"
    assert "reason" not in text and "None" not in text


def test_an_open_loop_an_invalid_run_and_a_warm_up_that_was_not_found_say_so() -> None:
    changes = {"outcome": "invalid", "reason": "why", "advice": "what", "offered_rate_per_s": 200.0, "warmup_s": None}
    block = Block(OpenLoad(ConstantArrivals(200.0)), 0.0, 10.0, 30.0, find_warmup=True)
    text = as_text({**FOUND, **changes, "ceiling_per_s": 15000.0}, block)
    assert [line(text, name) for name in ("outcome", "reason", "advice")] == ["invalid", "why", "what"]
    assert line(text, "scenario") == "open loop, 200.0 requests/s offered"
    assert "the latency did not settle" in line(text, "measured")
    assert line(text, "client").endswith("sends at most 15,000 requests/s")


@pytest.mark.parametrize("callers", [1, 2])
def test_one_client_is_no_crowd(callers: int) -> None:
    text = as_text(FOUND, Block(ClosedLoad(callers), 1.0, 10.0, 30.0))
    assert line(text, "scenario").endswith("client" if callers == 1 else "clients")
