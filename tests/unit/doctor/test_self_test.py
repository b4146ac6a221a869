import json
import os
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from inferlab.cli import app
from inferlab.doctor import self_test as module
from inferlab.doctor.self_test import WATERMARK, SelfTest, Step, self_test
from inferlab.doctor.text import print_self_test
from inferlab.errors import MeasurementError, UnknownNameError, UserError
from inferlab.stand_ins.install import NEURON_STATE, NEURON_VARIABLES

CHANGED = ("PATH", NEURON_STATE, *NEURON_VARIABLES)
"""What the stand-ins set in the environment; torch sets more of its own as it compiles."""


def test_a_target_runs_dry_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor", "--self-test", "inf2-neuronx", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["provenance"], found["watermark"]) == ("fake", WATERMARK)
    steps = {step["name"]: step for step in found["steps"]}
    assert {step["outcome"] for step in steps.values()} == {"passed"}
    assert steps["probe the device"]["found"] == "Neuron device 0: 2 cores"
    assert "--auto-cast matmult --auto-cast-type bf16" in steps["compile bf16"]["found"]
    assert "--auto-cast-type fp8_e4m3" in steps["compile fp8"]["found"]
    assert "a second process on the core is refused" in steps["run fp32"]["found"]
    assert steps["serve over HTTP"]["found"].endswith("requests answered, none failed")
    assert list(tmp_path.iterdir()) == []


def test_a_target_without_stand_ins_is_the_users_error() -> None:
    with pytest.raises(UserError, match="--self-test 'cpu-eager' is not allowed; allowed: inf2-neuronx"):
        self_test("cpu-eager")
    with pytest.raises(UnknownNameError, match="Did you mean 'inf2-neuronx'"):
        self_test("inf2-neuron")
    nameless = CliRunner().invoke(app, ["doctor", "--self-test", ""])
    assert isinstance(nameless.exception, UnknownNameError)


def test_a_step_that_fails_ends_the_run_and_everything_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise MeasurementError("the compiler crashed")

    monkeypatch.setattr(module, "compile_apart", failing)
    before = {name: os.environ.get(name) for name in CHANGED}, list(sys.path), Path.cwd()
    found = self_test("inf2-neuronx")
    assert not found.passed
    assert found.provenance == "fake"
    assert (found.steps[-1].name, found.steps[-1].found) == ("compile fp32", "the compiler crashed")
    assert ({name: os.environ.get(name) for name in CHANGED}, list(sys.path), Path.cwd()) == before
    assert "torch_neuronx" not in sys.modules


def test_the_watermark_stands_around_every_line() -> None:
    step = Step(name="probe the device", outcome="passed", found="[2 cores]")
    stream = StringIO()
    found = SelfTest(target="inf2-neuronx", provenance="fake", steps=(step,))
    print_self_test(found, Console(file=stream, width=120, markup=False))
    lines = stream.getvalue().splitlines()
    assert lines[0] == lines[-1] == WATERMARK
    assert any("fake" in line and "probe the device" in line and "[2 cores]" in line for line in lines)
