import subprocess
import sys

from inferlab.measure.telemetry.memory import machine_memory_mib, tree_pss_mib

HOLD = "block = bytearray(64 * 2**20)\nblock[::4096] = bytes(len(block[::4096]))\nprint('held', flush=True)\ninput()\n"


def test_pages_that_a_process_holds_are_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        held_mib = tree_pss_mib(process.pid)
        process.communicate(b"\n")
    assert 64 < held_mib < 64 + 200
    assert held_mib < machine_memory_mib()


def test_a_process_that_is_gone_holds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree_pss_mib(process.pid) == 0
