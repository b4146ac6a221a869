import os
from pathlib import Path

import pytest

from inferlab.doctor import process
from inferlab.doctor.process import compiler, machine_use, parameters, pinning, quiet, threads
from inferlab.machine import plan_cores
from inferlab.measure.validity import Limits

REPOSITORY = Path(__file__).parents[3]
LIMITS = Limits(
    schedule_lag_p99_s=0.005,
    client_cpu_percent=90,
    machine_cpu_other_percent=15,
    cpu_steal_percent=5,
    little_tolerance=0.1,
)


def test_threads_are_those_of_the_core_plan() -> None:
    found = threads(plan_cores([[0, 4], [1, 5], [2, 6], [3, 7]]))
    assert (found.outcome, found.value) == ("good", "3 a session (CPU 1-3); the load client on CPU 0")
    shared = threads(plan_cores([[0, 1]]))
    assert shared.outcome == "hindrance"
    assert "share" in shared.reason
    assert shared.hint


def test_pinning_is_tried_and_taken_back() -> None:
    before = os.sched_getaffinity(0)
    assert pinning().outcome == "good"
    assert os.sched_getaffinity(0) == before


def test_pinning_that_is_refused_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, cores: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(process.os, "sched_setaffinity", refused)
    found = pinning()
    assert found.outcome == "hindrance"
    assert "Operation not permitted" in found.reason


def test_the_compiler_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "g++ is not on PATH" in compiler().reason
    own = tmp_path / "own-compiler"
    own.write_text("#!/bin/sh\necho own-compiler 7.1\necho licence\n")
    own.chmod(0o755)
    monkeypatch.setenv("CXX", "own-compiler")
    assert (compiler().outcome, compiler().value) == ("good", "own-compiler 7.1")
    own.write_text("#!/bin/sh\nexit 3\n")
    assert "does not tell its version" in compiler().reason


def test_parameters_that_cannot_be_read_are_a_finding(tmp_path: Path) -> None:
    found, limits = parameters(tmp_path)
    assert (found.outcome, limits) == ("hindrance", None)
    assert "is missing" in found.reason
    found, limits = parameters(REPOSITORY)
    assert found.outcome == "good"
    assert limits is not None


def test_what_else_runs_is_held_against_the_limits_of_valid_blocks() -> None:
    others, steal = quiet(20.0, 1.0, LIMITS)
    assert (others.outcome, steal.outcome) == ("hindrance", "good")
    assert others.reason == "a block is invalid above 15 % (params.yaml validity)"
    assert {one.outcome for one in quiet(20.0, 1.0, None)} == {"unknown"}


def test_use_of_the_machine_is_a_share_of_it() -> None:
    others, steal = machine_use(sample_s=0.01)
    assert others >= 0
    assert steal >= 0
