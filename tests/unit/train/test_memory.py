import subprocess
import sys

CODE = """
import resource, sys
import numpy as np
from inferlab.train.memory import reuse_freed_memory
if sys.argv[1] == "reused":
    reuse_freed_memory()
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_any_size_is_used_again_without_page_faults() -> None:
    """Ten arrays of 64 MiB are 163,840 pages."""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, check=True).stdout)
        for how in ("default", "reused")
    }
    assert faults["reused"] < 1000
    assert faults["default"] > 10 * faults["reused"]
