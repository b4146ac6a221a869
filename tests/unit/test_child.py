import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from inferlab.child import THREAD_COUNT_VARIABLES, Child, Failure, stop_all
from inferlab.errors import ArtifactError, MeasurementError, ParamsError

CORE = min(os.sched_getaffinity(0))


def echo(connection: Connection, suffix: str) -> None:
    while True:
        connection.send(connection.recv() + suffix)


def describe(connection: Connection) -> None:
    threads = {name: os.environ[name] for name in THREAD_COUNT_VARIABLES}
    loaded = sorted({"numpy", "torch", "inferlab.load.block"} & set(sys.modules))
    connection.send((os.sched_getaffinity(0), threads, loaded))


def damaged(connection: Connection) -> None:
    raise ArtifactError("model.bin is damaged")


def broken(connection: Connection) -> None:
    raise ValueError("no such layer")


def leave(connection: Connection, code: int) -> None:
    os._exit(code)


def stubborn(connection: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection.send("deaf")
    while True:
        time.sleep(60)


def gone(pid: int) -> bool:
    """Whether the process has ended, waiting for it up to ten seconds; a zombie has ended."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            if state(pid) == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def state(pid: int) -> str:
    """R, S, T, Z ...: see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_commands_go_there_and_back_until_stop_ends_the_child() -> None:
    child = Child("echo", echo, ("!",), (CORE,))
    child.send("hello", "testing")
    assert child.receive(30, "testing") == "hello!"
    assert child.alive
    child.stop(grace_s=10)
    assert not child.alive
    assert gone(child.pid)
    child.stop(grace_s=10)


def test_child_is_pinned_and_has_thread_counts_before_it_imports_anything() -> None:
    child = Child("describe", describe, (), (CORE,))
    affinity, threads, loaded = child.receive(30, "testing")
    child.stop(grace_s=10)
    assert affinity == {CORE}
    assert threads == dict.fromkeys(THREAD_COUNT_VARIABLES, "1")
    assert loaded == []


def test_an_error_of_inferlab_keeps_its_type_and_text_and_carries_the_childs_trace() -> None:
    child = Child("server", damaged, (), (CORE,))
    with pytest.raises(ArtifactError) as caught:
        child.receive(30, "starting")
    child.stop(grace_s=10)
    assert str(caught.value) == "model.bin is damaged"
    assert any("in damaged" in note for note in caught.value.__notes__)


def test_any_other_error_is_a_measurement_error_that_names_type_and_process() -> None:
    child = Child("server", broken, (), (CORE,))
    with pytest.raises(MeasurementError, match=rf"server \(process {child.pid}\): ValueError: no such layer"):
        child.receive(30, "starting")
    child.stop(grace_s=10)


def test_an_error_whose_constructor_takes_more_than_a_text_survives() -> None:
    failure = Failure.of(ParamsError("run.seed", "x", "a number"))
    rebuilt = failure.rebuild("server", 7)
    assert isinstance(rebuilt, ParamsError)
    assert "run.seed" in str(rebuilt)


def test_the_first_error_of_a_group_is_the_one_reported() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [ArtifactError("a.bin")]), ValueError("b")])
    assert Failure.of(group).kind is ArtifactError
    assert Failure.of(group).text == "a.bin"


def test_a_child_that_ends_unasked_is_named_with_its_exit_code() -> None:
    child = Child("server", leave, (3,), (CORE,))
    with pytest.raises(MeasurementError, match="ended with exit code 3 while starting"):
        child.receive(30, "starting")
    child.stop(grace_s=0)


def test_a_killed_child_is_named_with_its_signal() -> None:
    child = Child("server", echo, ("",), (CORE,))
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match="was ended by SIGKILL while running"):
        child.receive(30, "running")
    with pytest.raises(MeasurementError, match="SIGKILL"):
        child.check()
    child.stop(grace_s=0)


def test_silence_is_an_error_with_its_length() -> None:
    child = Child("server", echo, ("",), (CORE,))
    with pytest.raises(MeasurementError, match=r"silent for 0\.05 s while waiting"):
        child.receive(0.05, "waiting")
    child.stop(grace_s=10)


def test_cores_that_do_not_exist_are_named() -> None:
    child = Child("server", echo, ("",), (4095,))
    with pytest.raises(MeasurementError, match=r"cannot run on cores \[4095\]; allowed here: "):
        child.receive(30, "starting")
    child.stop(grace_s=0)


def test_ctrl_c_leaves_a_child_alone() -> None:
    child = Child("echo", echo, ("!",), (CORE,))
    child.send("a", "testing")
    child.receive(30, "testing")
    os.kill(child.pid, signal.SIGINT)
    child.send("b", "testing")
    assert child.receive(30, "testing") == "b!"
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.stop(grace_s=10)


def test_a_paused_child_waits_and_can_still_be_stopped() -> None:
    child = Child("echo", echo, ("!",), (CORE,))
    child.send("a", "testing")
    child.receive(30, "testing")
    child.pause()
    child.send("b", "testing")
    with pytest.raises(MeasurementError, match="silent"):
        child.receive(0.1, "paused")
    assert state(child.pid) == "T"
    child.resume()
    assert child.receive(30, "resumed") == "b!"
    child.pause()
    child.stop(grace_s=10)
    assert gone(child.pid)


def test_a_child_that_ignores_everything_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.child.TERMINATE_GRACE_S", 0.1)
    child = Child("stubborn", stubborn, (), (CORE,))
    assert child.receive(30, "starting") == "deaf"
    child.stop(grace_s=0.1)
    assert gone(child.pid)


def test_all_are_told_to_end_before_any_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.child.TERMINATE_GRACE_S", 0.1)
    deaf = Child("stubborn", stubborn, (), (CORE,))
    assert deaf.receive(30, "starting") == "deaf"
    others = [Child("echo", echo, ("!",), (CORE,)) for _ in range(2)]
    for child in others:
        child.send("a", "testing")
        child.receive(30, "testing")
    others[1].pause()
    stop_all([deaf, *others], grace_s=1)
    stop_all([deaf, *others], grace_s=1)
    codes = [child._process.returncode for child in (deaf, *others)]
    assert codes == [-signal.SIGKILL, 0, 0], "only the deaf one had to be killed"


PARENT = """
import sys, time
from inferlab.child import Child
from test_child import echo
children = [Child("echo", echo, ("",), ({core},)) for _ in range(2)]
for child in children:
    child.send("up", "testing")
    child.receive(30, "testing")
children[1].pause()
print(*(child.pid for child in children), flush=True)
time.sleep(600)
"""


def test_killing_the_parent_leaves_no_child_running_or_paused() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(core=CORE)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    states = [state(pid) for pid in pids]
    parent.kill()
    parent.wait()
    assert len(states) == 2
    assert states[1] == "T"
    assert all(gone(pid) for pid in pids)


FAULTS = """
import resource, sys
import numpy as np
from inferlab.child import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
np.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_freed_memory_is_used_again_without_page_faults() -> None:
    """Ten arrays of 16 MiB are 40,960 pages."""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("default", "kept")
    }
    assert faults["kept"] < 1000
    assert faults["default"] > 10 * faults["kept"]
