"""One stage at a time on a machine, and none that outlives the pipeline that started it."""

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inferlab.errors import BusyError

POLL_S = 0.5
SHELLS = {"sh", "bash", "dash", "zsh", "ash"}
RUNNERS = {"dvc", "make", "inferlab"}
LANE = "INFERLAB_LANE"
"""In the environment of stages that `inferlab build` runs beside each other: its process id."""


@contextmanager
def exclusive(root: Path, what: str) -> Iterator[None]:
    """Hold the repository's lock. Raises BusyError naming the holder where another process has it.

    The kernel frees the lock when its holder dies, however it dies. Stages of a build are covered by the lock that the
    build holds for all of them, and do not run without it.
    """
    if LANE in os.environ:
        if int(os.environ[LANE]) not in _ancestors(os.getpid()):
            raise BusyError("the build that this stage belongs to is gone; run dvc repro to go on")
        yield
        return
    path = root / ".inferlab" / "running.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise BusyError(
                f"another run is going on here: {holder}. Two runs at once would disturb each other's measurements; "
                "wait for it, or stop it with Ctrl-C (finished rounds are kept)"
            ) from None
        stream.truncate(0)
        stream.write(f"{what} (process {os.getpid()}, since {time.strftime('%H:%M:%S')})")
        stream.flush()
        yield


def end_with_the_pipeline() -> None:
    """End this process, and with it its servers, when the pipeline runner above it is gone.

    A killed `dvc` or `make` cannot tell its children, and a shell between them may live on; so a thread looks at the
    chain of ancestors up to the topmost runner. Servers die with their parent by the kernel's parent-death signal.
    """
    chain = _runners_above(os.getpid())
    if chain:
        threading.Thread(target=_watch, args=(chain,), name="ancestors", daemon=True).start()


def _watch(chain: list[tuple[int, int]]) -> None:
    while all(_parent(child) == parent for child, parent in chain):
        time.sleep(POLL_S)
    with suppress(OSError):  # who read it may be what is gone
        print("inferlab: the pipeline that started this stage is gone; ending", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _runners_above(pid: int) -> list[tuple[int, int]]:
    """(child, parent) pairs from `pid` up to the topmost of the runners directly above it."""
    chain: list[tuple[int, int]] = []
    kept: list[tuple[int, int]] = []
    parent = _parent(pid)
    while parent is not None and parent > 1:
        words = _command(parent)
        if not words & (SHELLS | RUNNERS):
            break
        chain.append((pid, parent))
        if words & RUNNERS:
            kept = list(chain)
        pid, parent = parent, _parent(parent)
    return kept


def _ancestors(pid: int) -> list[int]:
    """The process ids from the parent of `pid` up."""
    found: list[int] = []
    parent = _parent(pid)
    while parent:
        found.append(parent)
        parent = _parent(parent)
    return found


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status.rpartition(")")[2].split()[1])


def _command(pid: int) -> set[str]:
    """Base names of a process's first words: `python .venv/bin/dvc repro` is both python and dvc."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2]
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {Path(word.decode(errors="replace")).name for word in words if word}
