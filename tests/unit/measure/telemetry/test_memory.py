import subprocess
import sys

from inferlab.measure.telemetry.memory import Memory, machine_memory_mib, reset_tree_peak, tree_memory

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
        held = tree_memory(process.pid)
        tell(process, b"give")
        given = tree_memory(process.pid)
        reset_tree_peak(process.pid)
        after = tree_memory(process.pid)
        process.communicate()
    assert 64 < held.peak_pss_mib < 64 + 200
    assert given.peak_pss_mib > 64
    assert after.peak_pss_mib < held.peak_pss_mib - 60
    assert given.peak_rss_mib > given.rss_mib + 60
    assert held.rss_mib > after.rss_mib + 60
    assert held.peak_pss_mib <= held.peak_rss_mib < machine_memory_mib()


def test_a_block_tells_resident_and_proportional_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        source = Memory()
        assert source.start((0,)) is None
        source.begin(process.pid)
        tell(process, b"take")
        reading = source.end(process.pid)
        process.communicate()
    assert set(reading) == set(Memory.columns)
    assert 64 < reading["memory_pss_mib"] <= reading["memory_peak_rss_mib"]
    assert reading["memory_rss_mib"] <= reading["memory_peak_rss_mib"]
    assert reading["memory_utilization_percent"] == 100 * reading["memory_pss_mib"] / machine_memory_mib()


def test_a_process_that_is_gone_holds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    reset_tree_peak(process.pid)
    gone = tree_memory(process.pid)
    assert (gone.rss_mib, gone.peak_rss_mib, gone.peak_pss_mib) == (0, 0, 0)
