import os
import subprocess
import sys

import psutil
import pytest
import torch

from inferlab.train.threads import use_physical_cores


def test_no_more_threads_than_physical_cores_and_granted_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    try:
        for physical, granted, expected in ((8, 2, 2), (2, 8, 2), (None, 4, 1)):
            monkeypatch.setattr(psutil, "cpu_count", lambda logical, count=physical: count)
            monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=granted: set(range(count)))
            assert use_physical_cores() == expected == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_waiting_threads_sleep_in_a_process_that_has_not_loaded_torch() -> None:
    code = "import inferlab.stages.prepare as stage; stage.use_physical_cores()"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "OMP_DISPLAY_ENV": "true", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in shown
