import subprocess
import sys

from inferlab.measure.telemetry.memory import machine_memory_mib, reset_tree_peak, tree_peak_pss_mib

HOLD = """
import mmap
for line in open(0):
    if line == "take\\n":
        block = mmap.mmap(-1, 64 * 2**20)
        block.write(b"x" * len(block))
    else:
        block.close()
    print("done", flush=True)
"""


def tell(process: "subprocess.Popen[bytes]", what: bytes) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what + b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"done\n"


def test_the_peak_is_counted_until_it_is_reset() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        reset_tree_peak(process.pid)
        tell(process, b"take")
        held_mib = tree_peak_pss_mib(process.pid)
        tell(process, b"give")
        given_mib = tree_peak_pss_mib(process.pid)
        reset_tree_peak(process.pid)
        after_mib = tree_peak_pss_mib(process.pid)
        process.communicate()
    assert 64 < held_mib < 64 + 200
    assert given_mib > 64
    assert after_mib < held_mib - 60
    assert held_mib < machine_memory_mib()


def test_a_process_that_is_gone_holds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    reset_tree_peak(process.pid)
    assert tree_peak_pss_mib(process.pid) == 0
