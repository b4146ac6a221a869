import math
import os
from typing import Any

import numpy as np
import pytest
from fakes import LIMITS, ScriptedHost, serving

from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad
from inferlab.measure.rows import Observer, block_row, request_rows
from inferlab.measure.telemetry.cpu import MachineCpu
from inferlab.records import REQUEST_COLUMNS

KEY = {
    "study": "s",
    "configuration": "c",
    "model": "m",
    "optimization": "o",
    "target": "t",
    "path": "fastapi",
    "batching": "none",
    "cache_share": 0.0,
    "twin": False,
    "scenario": "one-caller",
    "machine_id": "x",
    "environment_id": "e",
    "provenance": "hardware",
    "profile": "tiny",
    "round": 0,
    "attempt": 0,
    "order": 0,
    "warmup_s": 0.02,
}
ACCOUNT = {
    "cpu_s": 0.04,
    "cpu_utilization_percent": 50.0,
    "machine_cpu_other_percent": 0.0,
    "cpu_steal_percent": 0.0,
    "throttle_events": 0.0,
    "memory_pss_mib": 100.0,
    "memory_utilization_percent": 1.0,
    "load_average_1m": 0.5,
}


ONE_CALLER = ClosedLoad(1)


def result(load: Any = ONE_CALLER) -> Any:
    with serving([ScriptedHost(0.01)], lambda steps: None) as (host,):
        return host.run(Block(load, 0.0, 1.0, 1.0), lambda phase: None)


def test_hits_are_counted_where_there_is_a_cache() -> None:
    with_cache = block_row(result(), ACCOUNT, 1, 1, LIMITS, {**KEY, "cache_share": 0.5})
    assert (with_cache["cache_share"], with_cache["cache_hit_share"]) == (0.5, 0.5)
    assert np.isnan(block_row(result(), ACCOUNT, 1, 1, LIMITS, KEY)["cache_hit_share"])


def test_a_block_counts_measured_requests_only() -> None:
    row = block_row(result(), ACCOUNT, 1, 1, LIMITS, KEY)
    assert row["outcome"] == "measured", row["reason"]
    assert row["requests_ok"] == 8
    assert row["latency_p50_s"] == pytest.approx(0.01)
    assert row["latency_max_s"] == pytest.approx(0.01)
    # Of the ten requests nine were answered after the warm-up, one of them due in it.
    assert row["cpu_s_per_request"] == pytest.approx(0.04 / 9)
    assert row["client_cpu_percent"] == pytest.approx(100 * 0.001 / 0.08)
    assert math.isnan(row["accelerator_utilization_percent"])


def test_failures_are_counted_apart_and_the_first_is_told() -> None:
    given = result()
    given.columns["status"] = np.array(["ok"] * 8 + ["timeout", "rejected"])
    failed = type(given)(**{**vars(given), "first_error": "timeout: no answer"})
    row = block_row(failed, ACCOUNT, 1, 1, LIMITS, KEY)
    assert (row["requests_ok"], row["requests_timeout"], row["requests_rejected"], row["requests_error"]) == (
        6,
        1,
        1,
        0,
    )
    assert row["outcome"] == "invalid"
    assert row["reason"] == "2 of 8 requests failed (first: timeout: no answer)"


def test_a_saturated_open_loop_is_invalid_and_one_request_at_the_edge_is_not() -> None:
    offered = OpenLoad(ConstantArrivals(120.0))
    assert block_row(result(offered), ACCOUNT, None, 1, LIMITS, KEY)["outcome"] == "measured"
    saturated = block_row(result(OpenLoad(ConstantArrivals(250.0))), ACCOUNT, None, 1, LIMITS, KEY)
    assert "saturated" in saturated["reason"]


def test_request_rows_have_the_columns_of_the_record() -> None:
    frame = request_rows(result(), {name: KEY[name] for name in REQUEST_COLUMNS if name in KEY})
    assert list(frame.columns) == list(REQUEST_COLUMNS)
    assert frame["warmup"].sum() == 2
    assert frame.dtypes["done_s"] == np.float32


def test_what_others_use_is_what_neither_server_nor_client_nor_we_used(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = iter([MachineCpu(busy_s=0, steal_s=0, cores=2), MachineCpu(busy_s=5, steal_s=1, cores=2)])
    server = iter([1.0, 2.0])
    clock = iter([10.0, 14.0])
    monkeypatch.setattr(
        "inferlab.measure.rows.machine_cpu", lambda: next(machine, MachineCpu(busy_s=9, steal_s=9, cores=2))
    )
    monkeypatch.setattr("inferlab.measure.rows.tree_cpu_s", lambda pid: next(server))
    monkeypatch.setattr("inferlab.measure.rows.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("inferlab.measure.rows.time.process_time", lambda: 0.0)
    observer = Observer(os.getpid())
    observer.on_phase("measured")
    observer.on_phase("finished")
    account = observer.account(client_cpu_s=1.98, cores_granted=1)
    assert account["cpu_s"] == 1.0
    assert account["cpu_utilization_percent"] == 25.0
    assert account["machine_cpu_other_percent"] == pytest.approx(100 * (5 - 1 - 1.98 - 0.02) / (4 * 2))
    assert account["cpu_steal_percent"] == pytest.approx(12.5)
