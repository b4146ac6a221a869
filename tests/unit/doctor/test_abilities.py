import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from inferlab.doctor.abilities import target_abilities, telemetry_abilities
from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource
from inferlab.records import Precision
from inferlab.targets.base import TARGETS, Availability, Target


class Plugged(Target):
    """Here, with one precision that it refuses."""

    name: ClassVar[str] = "plugged"
    engine: ClassVar[dict[str, str]] = {"pydantic": "pydantic"}

    def probe(self) -> Availability:
        return Availability(available=True)

    def supports(self, precision: Precision) -> str | None:
        return "no int8 kernels" if precision == "int8-static" else None

    def compile(self, *arguments: object) -> None:  # type: ignore[override]
        raise NotImplementedError

    def load(self, *arguments: object) -> None:  # type: ignore[override]
        raise NotImplementedError


class Unplugged(Plugged):
    """Not here, with no precision that it refuses."""

    name: ClassVar[str] = "unplugged"
    rare_precisions: ClassVar[frozenset[Precision]] = frozenset({"fp8"})
    engine: ClassVar[dict[str, str]] = {"no_such_module": "no-such-distribution"}

    def probe(self) -> Availability:
        return Availability(available=False, reason="not plugged in", hint="plug it in")

    def supports(self, precision: Precision) -> str | None:
        return None


@pytest.fixture
def two_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    TARGETS.names()
    monkeypatch.setattr(TARGETS, "_things", {"plugged": Plugged, "unplugged": Unplugged})


def test_every_target_says_what_it_can_do_and_why_not(two_targets: None) -> None:
    plugged, unplugged = target_abilities()
    assert (plugged.outcome, plugged.reason, plugged.hint) == ("available", "", "")
    assert (unplugged.outcome, unplugged.reason, unplugged.hint) == ("unavailable", "not plugged in", "plug it in")
    found = {one.name: one for one in plugged.precisions}
    assert found["fp32"].outcome == "available"
    assert (found["int8-static"].outcome, found["int8-static"].reason) == ("unsupported", "no int8 kernels")
    assert (found["fp8"].outcome, found["fp8"].reason) == ("unsupported", "no route to fp8 is built into plugged")
    assert found["int8-static"].hint == "int8-static runs on unplugged, not available here"
    assert {one.outcome for one in unplugged.precisions} == {"unavailable"}
    assert unplugged.versions == {"no-such-distribution": "not installed"}


def test_a_precision_is_looked_for_on_targets_that_are_here(two_targets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unplugged, "probe", Plugged.probe)
    plugged, _ = target_abilities()
    assert {one.hint for one in plugged.precisions} == {
        "",
        "int8-static runs here on unplugged",
        "fp8 runs here on unplugged",
    }


def test_sources_are_started_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    class Counter(TelemetrySource):
        columns = ("energy_j",)

        def start(self, cores: object) -> None:
            calls.append(cores)

        def begin(self, server_pid: int) -> None:
            raise AssertionError("nothing is measured")

        def end(self, server_pid: int) -> Reading:
            raise AssertionError("nothing is measured")

        def stop(self) -> None:
            calls.append("stopped")

    class Hidden(Counter):
        def start(self, cores: object) -> Absent:  # type: ignore[override]
            return Absent("only root may read it", "sudo")

    TELEMETRY.names()
    monkeypatch.setattr(TELEMETRY, "_things", {"counter": Counter, "hidden": Hidden})
    counter, hidden = telemetry_abilities((1,))
    assert calls == [(1,), "stopped", "stopped"]
    assert (counter.outcome, counter.columns) == ("available", ("energy_j",))
    assert (hidden.outcome, hidden.reason, hidden.hint) == ("unavailable", "only root may read it", "sudo")


def test_looking_imports_no_engine() -> None:
    code = (
        "import sys; from inferlab.doctor.abilities import target_abilities; target_abilities();"
        "print(sorted({'torch', 'openvino', 'nncf', 'transformers'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[3] / "src"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
