"""How many threads training uses, and how they wait for each other."""

from __future__ import annotations

import os


def use_physical_cores() -> int:
    """Let torch use one thread for each physical core that this process may run on; returns how many.

    Called before torch is imported it also makes waiting threads sleep: OpenMP reads that once, when it is loaded.
    """
    # Threads that spin take the core from the one they wait for where another process is busy: three times slower here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import psutil
    import torch

    physical = psutil.cpu_count(logical=False) or 1
    threads = max(1, min(physical, len(os.sched_getaffinity(0))))
    torch.set_num_threads(threads)
    return threads
