"""Runs that are killed: no finished round is lost, no process is left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

pytestmark = pytest.mark.timeout(600)

ROUNDS = 14
DRIVER = """
import sys
from inferlab.cli import main
sys.argv = ["inferlab", *sys.argv[1:]]
main()
"""


def inferlab(root: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", DRIVER, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def ready(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the clone in which the noop model is compiled and its study planned, with many short rounds."""
    root = tmp_path_factory.mktemp("interrupted") / "clone"
    shutil.copytree(clone, root, ignore=shutil.ignore_patterns("build", "results", "reports", ".inferlab", "mlflow*"))
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["profiles"]["tiny"]["measure"]["rounds"] = ROUNDS
    params["run"]["targets"] = ["cpu-eager"]
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    finish(inferlab(root, "probe"))
    finish(inferlab(root, "prepare", "--model", "noop"))
    for optimization in ("original", "quantized", "pruned"):
        finish(inferlab(root, "optimize", "--model", "noop", "--optimization", optimization))
        finish(inferlab(root, "compile", "--model", "noop", "--optimization", optimization))
    finish(inferlab(root, "plan", "--study", "serving", "--model", "noop"))
    return root


def start(root: Path) -> "subprocess.Popen[str]":
    return inferlab(root, "serve-and-measure", "--study", "serving", "--model", "noop")


def rounds_of(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob(".inferlab/journal/*/*/rounds/*.blocks.parquet")}


def wait_for_rounds(root: Path, process: "subprocess.Popen[str]", count: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if len(list(root.glob(".inferlab/journal/*/*/rounds/*.done"))) >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("no round was finished")


def survivors(pids: list[int]) -> list[int]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
        if not alive:
            return []
        time.sleep(0.1)
    return alive


def kill(victim: str, process: "subprocess.Popen[str]", children: list[psutil.Process]) -> None:
    if victim == "stage by Ctrl-C":
        process.send_signal(signal.SIGINT)
    elif victim == "stage by kill -9":
        process.kill()
    else:
        next(child for child in children if any(victim in word for word in child.cmdline())).kill()


def test_killed_runs_leave_no_process_and_lose_no_round(ready: Path) -> None:
    """Each run goes on from the one killed before it, and is killed in another way."""
    shutil.rmtree(ready / ".inferlab" / "journal", ignore_errors=True)
    kept: dict[str, bytes] = {}
    for victim in ("stage by Ctrl-C", "stage by kill -9", "server", "load client"):
        process = start(ready)
        wait_for_rounds(ready, process, len(kept) + 1)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 9, f"{victim}: five configurations, the twin, two replicas behind HTTP, the load client"
        pids = [child.pid for child in children]
        kill(victim, process, children)
        output, _ = process.communicate(timeout=60)
        assert survivors([process.pid, *pids]) == [], victim
        if victim == "stage by Ctrl-C":
            assert process.returncode == 130
            assert "finished rounds are kept" in output
        elif victim == "stage by kill -9":
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 1, victim
            assert "SIGKILL" in output, victim
            assert "Traceback" not in output, victim
        rounds = rounds_of(ready)
        assert len(kept) < len(rounds) < ROUNDS, victim
        assert {name: rounds[name] for name in kept} == kept, victim
        kept = rounds
    finish(start(ready))
    after = rounds_of(ready)
    assert len(after) == ROUNDS
    assert {name: after[name] for name in kept} == kept


def test_two_runs_at_once_the_second_says_so(ready: Path) -> None:
    shutil.rmtree(ready / ".inferlab" / "journal", ignore_errors=True)
    first = start(ready)
    wait_for_rounds(ready, first, 1)
    second = start(ready)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "another run is going on here: inferlab serve-and-measure" in output
    finish(first)
