import os
import time
from pathlib import Path

import pytest

from inferlab.measure.telemetry.base import Absent
from inferlab.measure.telemetry.neuron import NO_PROGRAM, Neuron
from inferlab.measure.telemetry.neuron_reports import COLUMNS, NOT_USED

CORES = tuple(os.sched_getaffinity(0))
PATIENCE_S = 60


def block(source: Neuron) -> dict[str, float | Absent]:
    """A measured part that lasts until the program reported something or ended."""
    source.begin(os.getpid())
    monitor = source._monitor
    assert monitor is not None
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s and monitor._process.poll() is None:
        with monitor._lock:
            came = [report for at_s, report in monitor._reports if at_s - report.period_s >= (monitor._begin_s or 0)]
            if came or monitor._faults:
                break
        time.sleep(0.01)
    return source.end(os.getpid())


def read(neuron_monitor: pytest.MonkeyPatch, fault: str = "", pid: int | None = None) -> dict[str, float | Absent]:
    """A block on a fresh source."""
    neuron_monitor.setenv("FAKE_NEURON", fault)
    neuron_monitor.setenv("FAKE_NEURON_PID", str(pid or os.getpid()))
    source = Neuron()
    assert source.start(CORES) is None
    try:
        return block(source)
    finally:
        source.stop()


def test_the_servers_core_and_memory_are_told_from_anothers(neuron_monitor: pytest.MonkeyPatch) -> None:
    assert read(neuron_monitor) == {
        "accelerator_utilization_percent": pytest.approx(60),
        "accelerator_memory_mib": 32,
        "accelerator_latency_p50_s": pytest.approx(0.001),
        "accelerator_cores_used": 1,
    }


def test_blocks_after_each_other_have_their_own_reports_and_nothing_stays(neuron_monitor: pytest.MonkeyPatch) -> None:
    neuron_monitor.setenv("FAKE_NEURON_PID", str(os.getpid()))
    source = Neuron()
    source.start(CORES)
    monitor = source._monitor
    assert monitor is not None
    assert block(source)["accelerator_memory_mib"] == 32
    assert block(source)["accelerator_memory_mib"] == 32
    assert source.cpu_s() > 0
    assert source.provenance() == "fake"  # it is not where AWS puts it
    source.stop()
    source.stop()
    assert monitor._process.poll() is not None
    assert not any(thread.is_alive() for thread in monitor._threads)
    assert not monitor._config.exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("truncated", "neuron-monitor wrote a line that is no whole report in JSON"),
        ("overlong", "neuron-monitor wrote a line of more than 1048576 bytes"),
        ("error", "neuron-monitor reports: could not read the counters"),
        ("runtime-error", "neuron-monitor reports: the runtime does not answer"),
        ("ends", "neuron-monitor ended with exit code 1: no Neuron device found"),
        ("nobody", NOT_USED.reason),
    ],
)
def test_what_goes_wrong_is_the_reason(neuron_monitor: pytest.MonkeyPatch, fault: str, reason: str) -> None:
    reading = read(neuron_monitor, fault)
    assert {column: absent.reason for column, absent in reading.items() if isinstance(absent, Absent)} == dict.fromkeys(
        COLUMNS, reason
    )


def test_a_measured_part_shorter_than_a_period_has_no_report(neuron_monitor: pytest.MonkeyPatch) -> None:
    neuron_monitor.setattr("inferlab.measure.telemetry.neuron.PERIOD_MS", 60_000)
    source = Neuron()
    source.start(CORES)
    source.begin(os.getpid())
    reading = source.end(os.getpid())
    source.stop()
    absent = reading["accelerator_utilization_percent"]
    assert isinstance(absent, Absent)
    assert "lies inside the measured part" in absent.reason
    assert "block_s" in absent.hint


def test_without_the_program_the_reason_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Neuron().start(CORES) is NO_PROGRAM
    assert "aws-neuronx-tools" in NO_PROGRAM.hint


def test_a_program_that_is_none_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "neuron-monitor").write_bytes(b"\x7fELF")
    (tmp_path / "neuron-monitor").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = Neuron().start(CORES)
    assert absent is not None
    assert absent.reason.startswith("neuron-monitor cannot be started: ")
