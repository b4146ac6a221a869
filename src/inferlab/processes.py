"""A process with its descendants and all their threads, as /proc shows them; imports nothing that a child pays for."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from inferlab.errors import MeasurementError


def process_tree(pid: int) -> list[int]:
    """`pid` and its descendants that are alive."""
    tree = [pid]
    for member in tree:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                tree.extend(int(child) for child in task.read_text(encoding="utf-8").split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return tree


def threads_of(pid: int) -> set[int]:
    """Ids of the live threads of `pid` and its descendants."""
    return {int(task.name) for member in process_tree(pid) for task in Path(f"/proc/{member}/task").glob("*")}


def pin(pid: int, cores: Sequence[int]) -> None:
    """Pin every thread of `pid` and its descendants. Raises MeasurementError where these cores are not to be had."""
    pinned: set[int] = set()
    # Threads that start meanwhile inherit from one that may not be pinned yet, so look until there is no new one.
    while found := threads_of(pid) - pinned:
        for thread in found:
            pin_thread(thread, cores)
        pinned |= found


def strayed(pid: int, cores: Sequence[int]) -> list[int]:
    """Cores beside `cores` on which a live thread of `pid` or of its descendants may run, ascending."""
    allowed: set[int] = set()
    for thread in threads_of(pid):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            allowed |= os.sched_getaffinity(thread)
    return sorted(allowed - set(cores))


def pin_thread(thread: int, cores: Sequence[int]) -> None:
    """Pin one thread, by its id in the kernel. Raises MeasurementError where these cores are not to be had."""
    try:
        os.sched_setaffinity(thread, cores)
    except ProcessLookupError:
        return  # it has ended
    except (OSError, ValueError) as error:
        here = sorted(os.sched_getaffinity(0))
        raise MeasurementError(f"cannot run on cores {list(cores)}; allowed here: {here} ({error})") from None


def cores_of(text: str) -> set[int]:
    """`0-3,8` -> {0, 1, 2, 3, 8}, as in cpuset(7). Raises ValueError."""
    ranges = [part.partition("-") for part in text.strip().split(",") if part]
    return {core for first, _, last in ranges for core in range(int(first), int(last or first) + 1)}


def ranges_of(cores: Iterable[int]) -> str:
    """{0, 1, 2, 3, 8} -> `0-3,8`, as cpuset(7) has it: what `cores_of` reads."""
    runs: list[list[int]] = []
    for core in sorted(set(cores)):
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
