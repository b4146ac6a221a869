import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from inferlab.errors import BusyError, InferlabError
from inferlab.machine import describe_machine, physical_cores
from inferlab.measure.exclusive import LANE, exclusive
from inferlab.params import Params, load_params
from inferlab.records import Accelerator
from inferlab.stages import build
from inferlab.stages.build import Job, jobs_of, lanes_of, run

pytestmark = pytest.mark.timeout(120)

MODELS = ("first", "second")
CORES = physical_cores(sorted(os.sched_getaffinity(0)))
two_cores = pytest.mark.skipif(len(CORES) < 2, reason="one core: nothing is built beside anything")

DVC_YAML = """
stages:
  probe:
    cmd: "true"
    always_changed: true
  prepare:
    matrix:
      model: [first, second]
    cmd: python said.py prepare ${item.model}
  optimize:
    matrix: {model: [first, second], optimization: [original]}
    cmd: python said.py optimize ${item.model}
  compile:
    matrix: {model: [first, second], optimization: [original]}
    cmd: python said.py compile ${item.model}
  evaluate:
    matrix: {model: [first, second], optimization: [original]}
    cmd: python said.py evaluate ${item.model}
"""
SAID = """
import os, sys, time
from pathlib import Path
from inferlab.measure.exclusive import end_with_the_pipeline
end_with_the_pipeline()
stage, model = sys.argv[1:]
with Path(model).open("a") as stream:
    print(stage, *sorted(os.sched_getaffinity(0)), file=stream)
if Path("fails").exists() and model == "second":
    sys.exit("second cannot be built")
if Path("hangs").exists():
    Path(f"{model}.pid").write_text(str(os.getpid()))
    time.sleep(600)
"""

BUILD = """
import pickle, signal, sys
from pathlib import Path
from inferlab.cli import _interrupt
from inferlab.stages.build import run
signal.signal(signal.SIGTERM, _interrupt)
run(pickle.load(sys.stdin.buffer), Path())
"""


@pytest.fixture
def params() -> Params:
    whole = load_params(Path(__file__).parents[3] / "params.yaml")
    selected = {"models": ("first", "second"), "optimizations": ("original",)}
    return whole.model_copy(update={"run": whole.run.model_copy(update=selected)})


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "said.py").write_text(SAID)
    describe_machine([]).write(tmp_path / "results" / "machine.json")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def test_lanes_are_whole_physical_cores() -> None:
    assert lanes_of([[0, 4], [1, 5], [2, 6]], 2) == [[0, 4, 2, 6], [1, 5]]
    assert lanes_of([[0], [1]], 3) == [[0], [1]]
    assert lanes_of([[0, 1]], 3) == [[0, 1]]


def test_each_cell_comes_after_what_it_reads() -> None:
    assert jobs_of(["minilm", "noop"], ["original", "pruned"]) == [
        Job("minilm", True, ["prepare@minilm"]),
        Job("noop", True, ["prepare@noop"]),
        Job("minilm", False, ["optimize@minilm-original", "compile@minilm-original", "evaluate@minilm-original"]),
        Job("minilm", False, ["optimize@minilm-pruned", "compile@minilm-pruned", "evaluate@minilm-pruned"]),
        Job("noop", False, ["optimize@noop-original", "compile@noop-original", "evaluate@noop-original"]),
        Job("noop", False, ["optimize@noop-pruned", "compile@noop-pruned", "evaluate@noop-pruned"]),
    ]


@two_cores
def test_models_are_built_beside_each_other_each_on_its_own_cores(
    repository: Path, params: Params, capfd: pytest.CaptureFixture[str]
) -> None:
    run(params, repository)
    built = {model: [line.split() for line in (repository / model).read_text().splitlines()] for model in MODELS}
    for lines in built.values():
        assert [stage for stage, *_ in lines] == ["prepare", "optimize", "compile", "evaluate"]
    prepared_on = [set(lines[0][1:]) for lines in built.values()]
    assert all(prepared_on) and not prepared_on[0] & prepared_on[1]
    assert all(set(used) in prepared_on for lines in built.values() for _, *used in lines)
    assert "Running stage 'evaluate@second-original'" in capfd.readouterr().out


@two_cores
def test_a_probe_that_fails_ends_the_build(repository: Path, params: Params) -> None:
    (repository / "dvc.yaml").write_text(DVC_YAML.replace('cmd: "true"', 'cmd: "false"'))
    with pytest.raises(InferlabError, match="probe failed"):
        run(params, repository)
    assert not (repository / "first").exists()


@two_cores
def test_a_model_that_fails_is_named(repository: Path, params: Params) -> None:
    (repository / "fails").touch()
    with pytest.raises(InferlabError, match="building second failed"):
        run(params, repository)


@two_cores
def test_what_a_stage_prints_is_passed_on_whatever_it_is(
    repository: Path, params: Params, capfd: pytest.CaptureFixture[str]
) -> None:
    said = SAID.replace("stage, model = ", 'sys.stdout.buffer.write(b"\\xff\\n")\nstage, model = ')
    (repository / "said.py").write_text(said)
    run(params, repository)
    assert "\N{REPLACEMENT CHARACTER}" in capfd.readouterr().out
    assert (repository / "second").read_text().count("\n") == 4


@two_cores
def test_a_lane_that_breaks_ends_the_others(repository: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(root: Path, stages: list[str], running: list[object]) -> int:
        if stages == ["probe"]:
            return 0
        if stages == ["prepare@first"]:
            time.sleep(0.2)
            raise OSError("no process is left")
        return 0

    monkeypatch.setattr(build, "_dvc", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with pytest.raises(InferlabError, match="building first failed"):
        run(params, repository)


def test_models_that_share_an_accelerator_are_left_to_dvc_repro(repository: Path, params: Params) -> None:
    device = Accelerator(kind="neuron", name="inf2", cores=2)
    describe_machine([device]).write(repository / "results" / "machine.json")
    run(params, repository)
    assert not (repository / "first").exists()


@two_cores
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_ended_leaves_no_process(repository: Path, params: Params, signum: int) -> None:
    (repository / "hangs").touch()
    (repository / "inferlab").write_text(BUILD)
    with subprocess.Popen([sys.executable, "inferlab"], cwd=repository, stdin=subprocess.PIPE) as build:
        assert build.stdin is not None
        build.stdin.write(pickle.dumps(params))
        build.stdin.close()
        files = [repository / f"{model}.pid" for model in MODELS]
        assert waited(lambda: all(file.exists() and file.read_text() for file in files))
        build.send_signal(signum)
    pids = [int(file.read_text()) for file in files]
    assert waited(lambda: not any(running(pid) for pid in pids))
    assert [line.split()[0] for line in (repository / "first").read_text().splitlines()] == ["prepare"]


def test_a_stage_of_a_build_needs_it_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LANE, str(os.getppid()))
    with exclusive(tmp_path, "inferlab prepare minilm"):
        assert not (tmp_path / ".inferlab" / "running.lock").exists()
    monkeypatch.setenv(LANE, "4194304")  # beyond the largest process id of Linux
    with pytest.raises(BusyError, match="the build that this stage belongs to is gone"), exclusive(tmp_path, "x"):
        pass


def waited(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.1)
    return False


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
