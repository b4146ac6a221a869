import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from inferlab.doctor.command import examine
from inferlab.doctor.findings import Condition, Findings, TelemetryAbility
from inferlab.doctor.text import print_findings
from inferlab.machine import describe_machine
from inferlab.records import Accelerator
from inferlab.targets.base import TARGETS

REPOSITORY = Path(__file__).parents[3]


def doctor(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from inferlab.cli import main; main()", "doctor", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_json_names_every_target_with_outcome_reason_and_hint() -> None:
    done = doctor(REPOSITORY, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert [target["name"] for target in found["targets"]] == TARGETS.names()
    for target in found["targets"]:
        assert target["outcome"] in ("available", "unavailable")
        assert bool(target["reason"]) == bool(target["hint"]) == (target["outcome"] == "unavailable")
        assert all(one["reason"] for one in target["precisions"] if one["outcome"] != "available")
    assert {"energy", "throttling"} <= {source["name"] for source in found["telemetry"]}
    conditions = {one["name"]: one for one in found["conditions"]}
    assert {"threads", "pinning", "governor", "compiler", "params.yaml"} <= set(conditions)
    assert conditions["params.yaml"]["outcome"] == "good"
    assert found["machine"]["packages"]["torch"]
    hindered = {one["name"] for one in found["conditions"] if one["outcome"] == "hindrance" and one["hint"]}
    assert hindered <= {one["name"] for one in found["improvements"]}


def test_outside_of_a_repository_it_looks_all_the_same(tmp_path: Path) -> None:
    done = doctor(tmp_path)
    assert done.returncode == 0
    assert "cpu-openvino" in done.stdout
    assert "What would make measurements better here" in done.stdout
    assert list(tmp_path.iterdir()) == []


def findings(**changes: object) -> Findings:
    machine = describe_machine([])
    return Findings.model_validate({"machine": machine, "targets": (), "telemetry": (), "conditions": (), **changes})


def test_what_can_be_improved_is_what_hinders_and_has_a_remedy() -> None:
    slow = Condition(name="slow", value="on", outcome="hindrance", reason="it is slow", hint="switch it off")
    fate = Condition(name="fate", value="on", outcome="hindrance", reason="nothing helps")
    fine = Condition(name="fine", value="off", outcome="good", hint="never told")
    assert [one.name for one in findings(conditions=(slow, fate, fine)).improvements] == ["slow"]


def test_telemetry_of_accelerators_is_missed_only_where_there_are_any() -> None:
    absent = {"outcome": "unavailable", "reason": "no driver", "hint": "install it"}
    gpu = TelemetryAbility.model_validate({"name": "gpu", "columns": ("accelerator_power_w",), **absent})
    energy = TelemetryAbility.model_validate({"name": "energy", "columns": ("energy_j",), **absent})
    assert [one.name for one in findings(telemetry=(gpu, energy)).improvements] == ["energy"]
    machine = describe_machine([Accelerator(kind="cuda", name="T4", cores=1)])
    found = findings(telemetry=(gpu, energy), machine=machine)
    assert [one.name for one in found.improvements] == ["gpu", "energy"]


def test_tables_hold_reasons_as_they_are() -> None:
    found = examine(REPOSITORY)
    stream = StringIO()
    print_findings(found, Console(file=stream, width=1000, markup=False, highlight=False, emoji=False))
    text = stream.getvalue()
    for target in found.targets:
        assert target.name in text
        assert target.reason in text
        assert target.hint in text  # with its brackets, which are markup elsewhere


def test_a_machine_at_its_best_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(findings(), Console())
    assert "Nothing that we know of" in capsys.readouterr().out
