import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.measure.telemetry.base import Absent
from inferlab.measure.telemetry.neuron_reports import COLUMNS, CORES, LATENCY, MEMORY, NOT_TOLD, UTILIZATION, quantities
from inferlab.measure.telemetry.neuron_reports import parse_report as parse

PID = 4711
PERCENTS = st.floats(0, 100)
PERIODS = st.floats(0.01, 10)
LATENCIES = st.none() | st.builds(lambda p50: {"device_latency": {"p0": 0.0, "p50": p50}}, st.floats(0, 10))


@st.composite
def runtimes(draw: st.DrawFn, pid: int = PID) -> dict[str, Any]:
    """What neuron-monitor may report of a process, as the user guide documents it."""
    period, error = draw(PERIODS), draw(st.sampled_from(["", "", "", "not read"]))
    cores = draw(st.dictionaries(st.sampled_from(["0", "1", "2"]), PERCENTS.map(core)))
    groups = {
        "neuroncore_counters": {"neuroncores_in_use": cores},
        "execution_stats": {
            "execution_summary": {"completed": draw(st.integers(0, 9999))},
            "latency_stats": draw(LATENCIES),
        },
        "memory_used": {"neuron_runtime_used_bytes": {"host": 1, "neuron_device": draw(st.integers(0, 2**40))}},
    }
    failed = draw(st.sets(st.sampled_from(sorted(groups))))
    report = {
        name: {"period": period, "error": error if name in failed else "", **({} if name in failed else group)}
        for name, group in groups.items()
    }
    return {"pid": pid, "error": draw(st.sampled_from(["", "", "gone"])), "report": report}


def core(percent: float) -> dict[str, float]:
    return {"neuroncore_utilization": percent, "flops": 1e12}


REPORTS = st.lists(runtimes(), max_size=3).map(
    lambda found: {"neuron_runtime_data": found, "neuron_hardware_info": {"error": ""}, "system_data": {}}
)


def line(report: Any) -> bytes:
    return json.dumps(report).encode() + b"\n"


@given(st.lists(REPORTS, max_size=4))
def test_quantities_lie_within_what_was_reported(documents: list[dict[str, Any]]) -> None:
    reading = quantities([parse(line(document)) for document in documents], {PID})
    assert set(reading) == set(COLUMNS)
    found = [runtime for document in documents for runtime in document["neuron_runtime_data"]]
    utilization, memory, latency, cores = (reading[name] for name in COLUMNS)
    if not isinstance(cores, Absent):
        assert cores in (0, 1, 2, 3)
    if not isinstance(utilization, Absent):
        assert -1e-9 <= utilization <= 100 * max(len(document["neuron_runtime_data"]) for document in documents) + 1e-9
    if not isinstance(memory, Absent):
        assert 0 <= memory <= 3 * 2**40 / 2**20
    if not isinstance(latency, Absent):
        told = [runtime["report"]["execution_stats"].get("latency_stats") for runtime in found]
        medians = [each["device_latency"]["p50"] for each in told if each]
        assert min(medians) * (1 - 1e-9) <= latency <= max(medians) * (1 + 1e-9)


@given(REPORTS, st.data())
def test_part_of_a_line_is_never_taken_for_a_report(document: dict[str, Any], data: st.DataObject) -> None:
    whole = line(document).rstrip()
    with pytest.raises(ValueError, match="JSON"):
        parse(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_report_or_a_value_error(content: bytes) -> None:
    try:
        report = parse(content)
    except ValueError:
        return
    assert isinstance(json.loads(content), dict)
    assert report.period_s >= 0


@given(REPORTS, st.data())
def test_null_in_place_of_any_group_is_no_error(document: dict[str, Any], data: st.DataObject) -> None:
    for runtime in document["neuron_runtime_data"]:
        for name in data.draw(st.sets(st.sampled_from(sorted(runtime["report"])))):
            runtime["report"][name] = None
    assert set(quantities([parse(line(document))], {PID})) == set(COLUMNS)


def of_process(period: float, cores: dict[str, float], used: int, completed: int, p50: float | None) -> dict[str, Any]:
    """A report of one process."""
    stats = {"device_latency": None if p50 is None else {"p50": p50}}
    report = {
        "neuroncore_counters": {"period": period, "neuroncores_in_use": {name: core(cores[name]) for name in cores}},
        "execution_stats": {"execution_summary": {"completed": completed}, "latency_stats": stats},
        "memory_used": {"neuron_runtime_used_bytes": {"neuron_device": used}},
    }
    return {"neuron_runtime_data": [{"pid": PID, "report": report}]}


def test_reports_count_by_their_periods_and_executions() -> None:
    documents = [of_process(1.0, {"0": 100.0, "1": 50.0}, 2**20, 10, 0.001), of_process(3.0, {"0": 20.0}, 0, 30, 0.005)]
    reading = quantities([parse(line(document)) for document in documents], {PID})
    # Core 1 is not listed in the second report, in which it was idle.
    assert reading[UTILIZATION] == pytest.approx((1 * 150 + 3 * 20) / (4 * 2))
    assert reading[MEMORY] == 1
    assert reading[LATENCY] == pytest.approx((10 * 0.001 + 30 * 0.005) / 40)


def test_an_idle_process_has_no_latency_and_uses_nothing() -> None:
    reading = quantities([parse(line(of_process(1.0, {}, 5 * 2**20, 0, None)))], {PID})
    assert reading == {UTILIZATION: 0, MEMORY: 5, LATENCY: NOT_TOLD, CORES: 0}


@pytest.mark.parametrize("value", ["-1", "NaN", '"much"', "Infinity"])
def test_an_impossible_value_is_no_report(value: str) -> None:
    text = '{"neuron_runtime_data": [{"pid": 1, "report": {"neuroncore_counters": {"period": ' + value + "}}}]}"
    with pytest.raises(ValueError, match="period"):
        parse(text.encode())
