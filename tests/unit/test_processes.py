import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferlab import processes
from inferlab.errors import MeasurementError
from inferlab.processes import pin, places_to_start, process_tree, threads_of

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


@pytest.mark.parametrize(
    ("cores", "places"),
    [
        ((1,), [(1,), (0,), (2,), (3,)]),
        ((2, 3), [(2, 3), (0, 1)]),
        ((0, 1, 2), [(0, 1, 2)]),
        ((5,), [(5,), (4,)]),
    ],
)
def test_places_are_disjoint_of_one_size_and_on_the_memory_node_of_the_cores(
    cores: tuple[int, ...], places: list[tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node, text in (("node0", "0-3\n"), ("node1", "4,5-7\n")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "cpulist").write_text(text)
    monkeypatch.setattr(processes, "NODES", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3, 4, 5})
    assert places_to_start(cores) == places


def test_without_memory_nodes_every_allowed_core_is_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "NODES", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2})
    assert places_to_start((2,)) == [(2,), (0,)]
