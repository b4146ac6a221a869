import os
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from inferlab.measure.observer import Observer, Sources
from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource
from inferlab.measure.telemetry.cpu import MachineCpu
from inferlab.registry import Registry

OWN = os.getpid()


class Scripted(TelemetrySource):
    """Answers as a test has it; `log` holds its calls."""

    columns = ("fan_rpm",)
    reading: ClassVar[Reading] = {"fan_rpm": 900.0}
    trouble: ClassVar[Absent | None] = None
    of: ClassVar[Any] = "hardware"
    log: ClassVar[list[Any]]

    def start(self, cores: Any) -> Absent | None:
        self.log.append(("start", tuple(cores)))
        return self.trouble

    def begin(self, server_pid: int) -> None:
        self.log.append(("begin", server_pid))

    def end(self, server_pid: int) -> Reading:
        self.log.append(("end", server_pid))
        return self.reading

    def stop(self) -> None:
        self.log.append("stop")

    def cpu_s(self) -> float:
        return 0.25 * len(self.log)

    def provenance(self) -> Any:
        return self.of


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Register sources in place of the real ones; gives the log of each."""
    registry: Registry[type[TelemetrySource]] = Registry("telemetry source", "inferlab.measure.telemetry")
    registry._loaded = True
    monkeypatch.setattr("inferlab.measure.observer.TELEMETRY", registry)

    def add(name: str, **attributes: Any) -> list[Any]:
        log: list[Any] = []
        registry.register(name)(type(name, (Scripted,), {**attributes, "log": log}))
        return log

    return add


def observed() -> Any:
    with Sources([OWN]) as sources:
        observer = Observer(OWN, sources)
        observer.on_phase("measured")
        observer.on_phase("finished")
        return observer.account(client_cpu_s=0.0, cores_granted=1)


def test_a_source_is_started_once_read_at_both_ends_and_stopped(register: Callable[..., list[Any]]) -> None:
    log = register("fan")
    account = observed()
    assert account.values["fan_rpm"] == 900
    assert (account.absent, account.provenance) == ({}, "hardware")
    cores = tuple(sorted(os.sched_getaffinity(0)))  # the server has all of them, so that none is left
    assert log == [("start", cores), ("begin", OWN), ("end", OWN), "stop"]


def test_sources_run_away_from_the_servers_cores(
    register: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = register("fan")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2} if pid == 0 else {1, 2})
    with Sources([7, 8]):
        pass
    assert log[0] == ("start", (0,))


def test_what_cannot_start_is_absent_with_its_reason_and_is_not_asked(register: Callable[..., list[Any]]) -> None:
    log = register("fan", trouble=Absent("no fan", "buy one"))
    account = observed()
    assert "fan_rpm" not in account.values
    assert account.absent == {"fan_rpm": "no fan (how to get it: buy one)"}
    assert [call for call in log if call != "stop"] == [("start", tuple(sorted(os.sched_getaffinity(0))))]


def test_of_two_sources_for_a_column_the_one_with_a_value_counts(register: Callable[..., list[Any]]) -> None:
    register("a", trouble=Absent("no fan of this make"))
    register("b")
    register("c", reading={"fan_rpm": Absent("not asked")}, of="fake")
    account = observed()
    assert account.values["fan_rpm"] == 900
    assert (account.absent, account.provenance) == ({}, "hardware")


def test_reasons_of_several_sources_stand_beside_each_other(register: Callable[..., list[Any]]) -> None:
    register("a", trouble=Absent("no fan of this make"))
    register("b", reading={"fan_rpm": Absent("nor of this one")})
    assert observed().absent == {"fan_rpm": "nor of this one; no fan of this make"}


def test_a_value_of_a_test_double_makes_the_block_fake(register: Callable[..., list[Any]]) -> None:
    register("fan", of="fake")
    assert observed().provenance == "fake"


def test_a_source_that_breaks_at_its_start_leaves_none_running(register: Callable[..., list[Any]]) -> None:
    log = register("a")

    def breaks(self: Any, cores: Any) -> None:
        raise KeyboardInterrupt

    register("b", start=breaks)
    with pytest.raises(KeyboardInterrupt), Sources([OWN]):
        pass
    assert log[-1] == "stop"


def test_what_others_use_is_what_neither_server_nor_client_nor_we_nor_our_sources_used(
    register: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    register("fan")  # uses 0.25 s a call: there is one between the two readings
    machine = iter([MachineCpu(busy_s=0, steal_s=0, cores=2), MachineCpu(busy_s=5, steal_s=1, cores=2)])
    server = iter([1.0, 2.0])
    clock = iter([10.0, 14.0])
    monkeypatch.setattr(
        "inferlab.measure.observer.machine_cpu", lambda: next(machine, MachineCpu(busy_s=9, steal_s=9, cores=2))
    )
    monkeypatch.setattr("inferlab.measure.observer.tree_cpu_s", lambda pid: next(server))
    monkeypatch.setattr("inferlab.measure.observer.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("inferlab.measure.observer.time.process_time", lambda: 0.0)
    with Sources([OWN]) as sources:
        observer = Observer(OWN, sources)
        observer.on_phase("measured")
        observer.on_phase("finished")
        values = observer.account(client_cpu_s=1.98, cores_granted=2).values
    assert values["cpu_s"] == 1.0
    assert values["cores_used"] == 0.25
    assert values["cpu_utilization_percent"] == 12.5
    assert values["machine_cpu_other_percent"] == pytest.approx(100 * (5 - 1 - 1.98 - 0.02 - 0.25) / (4 * 2))
    assert values["cpu_steal_percent"] == pytest.approx(12.5)


def test_the_registered_sources_answer_for_each_of_their_columns_on_this_machine() -> None:
    assert {"energy", "gpu", "load-average", "memory", "neuron", "throttling"} <= set(TELEMETRY)
    account = observed()
    for name in TELEMETRY:
        for column in TELEMETRY.get(name).columns:
            assert (column in account.values) != (column in account.absent), column
