import json
import math
from typing import Any

import numpy as np
import pytest
from fakes import LIMITS, ScriptedHost, serving

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad
from inferlab.measure.observer import Account
from inferlab.measure.rows import block_row, request_rows

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
VALUES = {
    "cpu_s": 0.04,
    "cpu_utilization_percent": 50.0,
    "machine_cpu_other_percent": 0.0,
    "cpu_steal_percent": 0.0,
    "throttle_events": 0.0,
    "memory_pss_mib": 100.0,
    "memory_utilization_percent": 1.0,
    "load_average_1m": 0.5,
}
ACCOUNT = Account(VALUES, {"energy_j": "no counters"}, "hardware")
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
    assert list(row) == list(BLOCK_COLUMNS)


def test_energy_is_shared_by_the_requests_answered_meanwhile_and_absence_has_its_reason() -> None:
    without = block_row(result(), ACCOUNT, 1, 1, LIMITS, KEY)
    assert math.isnan(without["energy_j"])
    assert math.isnan(without["energy_j_per_request"])
    assert json.loads(without["telemetry_absent"]) == {"energy_j": "no counters"}
    measured = Account({**VALUES, "energy_j": 18.0, "accelerator_energy_j": 9.0}, {}, "hardware")
    row = block_row(result(), measured, 1, 1, LIMITS, KEY)
    assert (row["energy_j_per_request"], row["accelerator_energy_j_per_request"]) == (2.0, 1.0)
    assert row["telemetry_absent"] == "{}"


def test_a_machine_that_does_not_count_throttling_is_not_throttled() -> None:
    values = {name: value for name, value in VALUES.items() if name != "throttle_events"}
    row = block_row(result(), Account(values, {}, "hardware"), 1, 1, LIMITS, KEY)
    assert row["outcome"] == "measured", row["reason"]
    assert math.isnan(row["throttle_events"])
    throttled = block_row(result(), Account({**VALUES, "throttle_events": 1.0}, {}, "hardware"), 1, 1, LIMITS, KEY)
    assert throttled["reason"] == "the machine was throttled"


def test_what_a_test_double_measured_is_fake_whatever_was_planned() -> None:
    assert block_row(result(), ACCOUNT, 1, 1, LIMITS, KEY)["provenance"] == "hardware"
    fake = Account(VALUES, {}, "fake")
    assert block_row(result(), fake, 1, 1, LIMITS, KEY)["provenance"] == "fake"


def test_a_column_that_the_schema_does_not_name_comes_after_those_that_it_does() -> None:
    row = block_row(result(), Account({**VALUES, "fan_rpm": 900.0}, {}, "hardware"), 1, 1, LIMITS, KEY)
    assert list(row) == [*BLOCK_COLUMNS, "fan_rpm"]


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
    asked = block_row(result(OpenLoad(ConstantArrivals(250.0))), ACCOUNT, None, 1, LIMITS, KEY, may_saturate=True)
    assert (asked["outcome"], asked["throughput_per_s"]) == ("measured", 100.0)


def test_request_rows_have_the_columns_of_the_record() -> None:
    frame = request_rows(result(), {name: KEY[name] for name in REQUEST_COLUMNS if name in KEY})
    assert list(frame.columns) == list(REQUEST_COLUMNS)
    assert frame["warmup"].sum() == 2
    assert frame.dtypes["done_s"] == np.float32
