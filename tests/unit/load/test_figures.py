import dataclasses
import math

import numpy as np
import pytest

from inferlab.load.block import BlockResult
from inferlab.load.figures import figures
from inferlab.load.timings import ServerTimings


def result(latencies_s: np.ndarray, failed: tuple[str, ...] = ()) -> BlockResult:
    """A warm-up request of 9 s, then one request every 10 ms, then failures."""
    latency_s = np.concatenate([[9.0], latencies_s, np.full(len(failed), 5.0)])
    count = len(latency_s)
    scheduled_s = np.arange(count) * 0.01
    columns = {
        "warmup": np.arange(count) == 0,
        "scheduled_s": scheduled_s,
        "sent_s": scheduled_s,
        "first_byte_s": scheduled_s + latency_s,
        "done_s": scheduled_s + latency_s,
        "status": np.array(["ok"] * (count - len(failed)) + list(failed)),
        **{name: np.full(count, np.nan) for name in ServerTimings._fields[:5]},
        "batch_size": np.zeros(count, dtype=np.int16),
    }
    return BlockResult(columns, 0.0, 99.0, math.nan, 0.001, 0.5, 2.0, "error: x" if failed else "")


def test_latency_is_of_answered_measured_requests_and_failures_are_counted_by_kind() -> None:
    found = figures(result(np.arange(1, 201) / 1e3, ("error", "timeout", "timeout", "rejected")))
    assert [found[f"requests_{kind}"] for kind in ("ok", "error", "timeout", "rejected")] == [200, 1, 2, 1]
    assert found["latency_mean_s"] == pytest.approx(0.1005)
    assert found["latency_p50_s"] == pytest.approx(0.101)
    assert found["latency_p99_s"] == pytest.approx(0.199)
    assert found["latency_max_s"] == pytest.approx(0.2)
    assert found["latency_first_s"] == pytest.approx(9.0)
    assert found["client_cpu_percent"] == pytest.approx(25.0)
    assert (found["throughput_per_s"], found["duration_s"], found["first_error"]) == (99.0, 2.0, "error: x")


@pytest.mark.parametrize(
    ("name", "least"),
    [("p50", 2), ("p90", 10), ("p95", 20), ("p99", 100), ("p999", 10_000)],
)
def test_a_quantile_needs_samples(name: str, least: int) -> None:
    assert math.isnan(float(figures(result(np.full(least - 1, 0.1)))[f"latency_{name}_s"]))
    assert figures(result(np.full(least, 0.1)))[f"latency_{name}_s"] == pytest.approx(0.1)


def test_quantiles_are_measured_values_that_few_enough_exceed() -> None:
    latencies_s = np.random.default_rng(2).exponential(0.01, 1234)
    found = figures(result(latencies_s))
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        value = float(found[f"latency_{name}_s"])
        assert np.abs(latencies_s - value).min() < 1e-9
        assert (latencies_s > value + 1e-9).sum() <= (1 - q) * len(latencies_s)


def test_what_the_server_told_is_averaged_over_the_answers_where_it_did() -> None:
    block = result(np.full(4, 0.1))
    block.columns["queue_s"][1:3] = [0.002, 0.004]
    block.columns["batch_size"][1:4] = [2, 4, 6]
    found = figures(block)
    assert found["server_queue_mean_s"] == pytest.approx(0.003)
    assert found["server_batch_size_mean"] == pytest.approx(4.0)
    assert math.isnan(float(found["server_infer_mean_s"]))


def test_a_block_without_an_answer_has_no_latency() -> None:
    block = result(np.empty(0), ("error",))
    found = figures(dataclasses.replace(block, columns={name: values[1:] for name, values in block.columns.items()}))
    assert found["requests_ok"] == 0
    for name in ("latency_mean_s", "latency_max_s", "latency_first_s", "latency_mean_half_width_s"):
        assert math.isnan(float(found[name]))
    empty = figures(dataclasses.replace(block, columns={name: values[:0] for name, values in block.columns.items()}))
    assert math.isnan(float(empty["latency_first_s"]))
