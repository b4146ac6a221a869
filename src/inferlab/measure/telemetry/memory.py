"""Memory of a server's process tree."""

import re
from pathlib import Path

from inferlab.processes import process_tree


def tree_pss_mib(pid: int) -> float:
    """Proportional set size of the tree in MiB: private pages, and each shared page's fair part."""
    total_kib = 0
    for member in process_tree(pid):
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = re.search(r"(?m)^Pss:\s+(\d+) kB", rollup)
        total_kib += int(found.group(1)) if found else 0
    return total_kib / 1024


def machine_memory_mib() -> float:
    """Total memory of the machine in MiB."""
    found = re.search(r"(?m)^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8"))
    return int(found.group(1)) / 1024 if found else float("nan")
