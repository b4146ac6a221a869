import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferlab.errors import BusyError
from inferlab.measure.exclusive import exclusive

HOLD = """
import sys
from pathlib import Path
from inferlab.measure.exclusive import exclusive
with exclusive(Path(sys.argv[1]), "inferlab prepare minilm"):
    print("held", flush=True)
    input()
"""
WATCHED = """
import time
from inferlab.measure.exclusive import end_with_the_pipeline
end_with_the_pipeline()
print("watching", flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if (
                "(" in Path(f"/proc/{pid}/stat").read_text()
                and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
            ):
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


def test_the_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(BusyError, match=rf"inferlab prepare minilm \(process {holder.pid}"),
            exclusive(tmp_path, "x"),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
    with exclusive(tmp_path, "next"):
        assert "next" in (tmp_path / ".inferlab/running.lock").read_text()


@pytest.mark.parametrize("runner", ["dvc", "make"])
def test_a_stage_ends_when_its_killed_runner_is_two_processes_up(tmp_path: Path, runner: str) -> None:
    """runner -> sh -> stage: nobody tells the stage that the runner was killed."""
    script = tmp_path / runner
    script.write_text("import subprocess, sys\nsubprocess.run(['sh', '-c', sys.argv[1] + ' & echo pid $!; wait'])\n")
    stage = tmp_path / "stage.py"
    stage.write_text(WATCHED)
    command = [sys.executable, str(script), f"{sys.executable} {stage}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    lines = sorted(process.stdout.readline().decode().strip() for _ in range(2))
    pid = int(lines[0].removeprefix("pid "))
    assert lines[1] == "watching"
    process.kill()
    process.wait()
    try:
        assert gone(pid)
    finally:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
        process.stdout.close()
