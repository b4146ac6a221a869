"""`inferlab serve` as a process of its own, for the benchmarks beside this file."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def serving(deployments: Sequence[str], core: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The server, pinned to a core, and its port; run it in a folder with params.yaml and build/artifacts."""
    program = str(Path(sys.executable).parent / "inferlab")
    process = subprocess.Popen(
        ["taskset", "-c", str(core), program, "serve", "--port", "0", *deployments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)$", process.stdout.readline().strip())
        if found is None:
            raise SystemExit("inferlab serve did not start; run it by hand to see why")
        yield process, int(found[1])
    finally:
        process.kill()
        process.wait()


def tree_pss_mib(pid: int) -> float:
    """Memory of a process and its descendants, each page once."""
    total_kib = 0
    left = [pid]
    while left:
        member = left.pop()
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{member}/smaps_rollup").read_text()
            total_kib += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
            for task in Path(f"/proc/{member}/task").iterdir():
                left += [int(child) for child in (task / "children").read_text().split()]
    return total_kib / 1024
