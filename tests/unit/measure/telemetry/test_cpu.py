import os
import subprocess
import sys
import threading
import time

import pytest

from inferlab.measure.telemetry.cpu import machine_cpu, tree_cpu_s
from inferlab.processes import process_tree

BUSY = """
import time
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
print("done", flush=True)
input()
"""


@pytest.fixture
def busy_grandchild() -> "subprocess.Popen[bytes]":
    """A process whose child burns 0.3 s of CPU, says so, and waits."""
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.communicate(b"\n", timeout=30)


def test_the_tree_counts_descendants(busy_grandchild: "subprocess.Popen[bytes]") -> None:
    assert busy_grandchild.stdout is not None
    assert busy_grandchild.stdout.readline() == b"done\n"
    tree = process_tree(busy_grandchild.pid)
    assert tree[0] == busy_grandchild.pid
    assert len(tree) == 2
    assert 0.3 <= tree_cpu_s(busy_grandchild.pid) < 5


def test_a_thread_that_has_ended_still_counts() -> None:
    def work() -> None:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    before = tree_cpu_s(os.getpid())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert tree_cpu_s(os.getpid()) - before >= 0.1


def test_waiting_uses_no_cpu_and_working_does() -> None:
    before = tree_cpu_s(os.getpid())
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert tree_cpu_s(os.getpid()) - before >= 0.04


def test_a_process_that_is_gone_counts_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree_cpu_s(process.pid) == 0


def test_the_machine_is_at_least_as_busy_as_we_are() -> None:
    before, own = machine_cpu(), time.process_time()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = machine_cpu()
    assert after.busy_s - before.busy_s >= (time.process_time() - own) * 0.8
    assert after.steal_s >= before.steal_s
    assert after.cores >= 1
