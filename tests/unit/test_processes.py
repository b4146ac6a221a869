import os
import subprocess
import sys
import threading

import pytest

from inferlab import processes
from inferlab.errors import MeasurementError
from inferlab.processes import cores_of, pin, process_tree, ranges_of, threads_of

CORE = min(os.sched_getaffinity(0))
THREADS = """
import subprocess, sys, threading
if sys.argv[1] == "parent":
    child = subprocess.Popen([sys.executable, "-c", sys.argv[2], "child"], stdout=subprocess.PIPE)
    child.stdout.readline()
go_on = threading.Event()
for _ in range(3):
    threading.Thread(target=go_on.wait, daemon=True).start()
print("up", flush=True)
go_on.wait()
"""


@pytest.fixture
def family() -> "subprocess.Popen[bytes]":
    """A process and its child, of four threads each."""
    process = subprocess.Popen([sys.executable, "-c", THREADS, "parent", THREADS], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    for pid in process_tree(process.pid):
        os.kill(pid, 9)
    process.communicate(timeout=30)


def test_every_thread_of_the_tree_is_pinned(family: "subprocess.Popen[bytes]") -> None:
    threads = threads_of(family.pid)
    assert len(threads) == 8
    pin(family.pid, (CORE,))
    assert [os.sched_getaffinity(thread) for thread in threads] == [{CORE}] * 8


def test_a_thread_that_starts_while_others_are_pinned_is_pinned_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [{1}, {1, 2}, {1, 2}]
    pinned: list[int] = []
    monkeypatch.setattr(processes, "threads_of", lambda pid: seen.pop(0))
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, cores: pinned.append(thread))
    pin(1, (CORE,))
    assert pinned == [1, 2]


def test_a_thread_that_has_ended_is_passed_over() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    processes.pin_thread(thread.native_id, (CORE,))


def test_cores_that_do_not_exist_are_named() -> None:
    with pytest.raises(MeasurementError, match=r"cannot run on cores \[4095\]; allowed here: "):
        pin(os.getpid(), (4095,))


def test_a_thread_that_may_run_elsewhere_is_found(family: "subprocess.Popen[bytes]") -> None:
    everywhere = sorted(os.sched_getaffinity(0))
    pin(family.pid, everywhere)
    assert processes.strayed(family.pid, everywhere) == []
    assert processes.strayed(family.pid, [CORE]) == everywhere[1:]
    pin(family.pid, [CORE])
    assert processes.strayed(family.pid, [CORE]) == []


@pytest.mark.parametrize("text", ["", "3", "0-3", "0-1,4,8-11"])
def test_cores_are_written_as_they_are_read(text: str) -> None:
    assert ranges_of(cores_of(text)) == text
