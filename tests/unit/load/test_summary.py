import math

import numpy as np
import pytest

from inferlab.columns import REQUEST_COLUMNS
from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad
from inferlab.load.loops import Offered, Reply, Row
from inferlab.load.summary import summarize
from inferlab.load.timings import UNTOLD, ServerTimings

START_S = 1000.0
TOLD = ServerTimings(0.001, 0.002, 0.003, 0.004, 0.005, 6)


def offered(rows: list[Row]) -> Offered:
    end_s = max((row.done_s for row in rows), default=START_S + 1)
    return Offered(rows, START_S, START_S + 0.5, START_S + 1.0, end_s, math.nan)


def row(scheduled_s: float, done_s: float, status: str = "ok", caller: int = 0, lag_s: float = 0.0) -> Row:
    reply = Reply(START_S + done_s - 0.01, status, 200 if status == "ok" else 500, TOLD, f"at {scheduled_s}")
    return Row(caller, scheduled_s < 0.5, START_S + scheduled_s, START_S + scheduled_s + lag_s, START_S + done_s, reply)


def identity(timings: object) -> ServerTimings:
    return timings if isinstance(timings, ServerTimings) else UNTOLD


CLOSED = Block(ClosedLoad(1), 0.5, 0.5, 1.0)


def test_columns_are_those_of_the_record_with_times_from_the_blocks_start() -> None:
    columns = summarize(CLOSED, offered([row(0.0, 0.5), row(0.5, 0.75)]), identity, 0.1).columns
    own = {"study", "configuration", "scenario", "machine_id", "round", "attempt"}
    assert set(columns) == set(REQUEST_COLUMNS) - own
    assert columns["warmup"].tolist() == [True, False]
    assert columns["scheduled_s"].tolist() == [0.0, 0.5]
    assert columns["first_byte_s"].tolist() == pytest.approx([0.49, 0.74])
    assert columns["batch_size"].tolist() == [6, 6]
    assert columns["infer_s"].tolist() == [0.004, 0.004]


def test_warm_up_is_in_no_summary() -> None:
    result = summarize(CLOSED, offered([row(0.0, 0.5, lag_s=0.4), row(0.5, 0.75), row(0.75, 1.0)]), identity, 0.1)
    assert result.throughput_per_s == pytest.approx(4.0)
    assert result.schedule_lag_p99_s == pytest.approx(0.0)
    assert result.wall_s == pytest.approx(0.5)


def test_failures_keep_their_row_and_the_earliest_is_told() -> None:
    rows = [row(0.5, 0.75), row(0.75, 1.0, "error"), row(0.6, 1.2, "timeout", caller=1)]
    result = summarize(CLOSED, offered(rows), identity, 0.1)
    assert result.columns["status"].tolist() == ["ok", "error", "timeout"]
    assert result.first_error == "timeout: at 0.6"
    assert result.throughput_per_s == pytest.approx(1 / 0.5)


def test_a_block_without_requests_has_no_throughput_and_no_lag() -> None:
    block = Block(OpenLoad(ConstantArrivals(1.0)), 0.5, 0.5, 1.0)
    result = summarize(block, offered([]), identity, math.nan)
    assert result.throughput_per_s == 0
    assert math.isnan(result.schedule_lag_p99_s)
    assert result.first_error == ""
    assert all(len(values) == 0 for values in result.columns.values())
    assert result.columns["status"].dtype.kind == "U"
    assert result.columns["http_status"].dtype == np.int16


def test_a_warm_up_that_is_found_is_marked_and_takes_its_share_of_the_cpu_time() -> None:
    latencies_s = [0.02 if number < 100 else 0.001 + 1e-5 * (number % 7) for number in range(1000)]
    rows = [row(0.001 * number, 0.001 * number + latency_s) for number, latency_s in enumerate(latencies_s)]
    rows = [one._replace(warmup=False) for one in rows]
    block = Block(ClosedLoad(1), 0.0, 1.0, 1.0, find_warmup=True)
    whole = Offered(rows, START_S, START_S, START_S + 1.0, START_S + 1.0, math.nan)
    result = summarize(block, whole, identity, 0.5)
    assert 0.1 <= result.warmup_s + 1e-9 <= 0.13
    assert result.columns["warmup"].sum() == round(1000 * result.warmup_s)
    assert result.wall_s == pytest.approx(1 - result.warmup_s)
    assert result.client_cpu_s == pytest.approx(0.5 * result.wall_s)
    short = summarize(block, whole._replace(rows=rows[:50]), identity, 0.5)
    assert math.isnan(short.warmup_s)
    assert not short.columns["warmup"].any()
    assert short.client_cpu_s == 0.5
