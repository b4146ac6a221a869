"""Copies of the repository with tiny settings, to run the pipeline in."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
TINY = {
    "label": "tiny: a test, no measurement",
    "data": {"train_fraction": 0.02, "evaluation_fraction": 0.02, "calibration_fraction": 0.1},
    "measure": {"rounds": 2, "block_s": 0.1, "warmup_s": 0.02, "max_requests": 200, "attempts": 1},
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def tracked_files() -> list[str]:
    """What git has or would take; results of earlier runs are left behind, as on another machine."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return [
        name
        for name in listed
        if not name.startswith(("results/", "reports/", "dvc.lock")) and (REPOSITORY / name).is_file()
    ]


def tiny_clone(root: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A clone in `root` with tiny settings; `change` is given its params."""
    for name in tracked_files():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, root / name)
    params: dict[str, Any] = yaml.safe_load((root / "params.yaml").read_text())
    params["profiles"]["tiny"] = TINY
    params["run"]["profile"] = "tiny"
    # Whether the machine that runs the tests is busy decides nothing here.
    params["validity"].update(machine_cpu_other_percent=100.0, cpu_steal_percent=100.0, schedule_lag_p99_s=10.0)
    change(params)
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=root, check=True)
    return root


def runner(root: Path, *folders: str) -> Run:
    """Runs commands in a clone, with the clone's own source and these folders of it on Python's path."""
    path = os.pathsep.join(str(root / folder) for folder in ("src", *folders))
    added = {"PYTHONPATH": path, "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}

    def call(*command: str, timeout_s: float = 900) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, **added}
        environment.pop("MLFLOW_TRACKING_URI", None)
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
        )

    return call
