"""`inferlab device-profile`: where the time goes inside an accelerator, as its vendor's profiler sees it.

A profile is no measurement, since what traces a device slows it down. It is taken in a process of its own, and its
batches count nowhere else.
"""

from __future__ import annotations

import shutil
import subprocess
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.child import HANDSHAKE_TIMEOUT_S, Child
from inferlab.errors import MeasurementError, UserError
from inferlab.records import ArtifactRecord
from inferlab.targets.base import TARGETS, Profiling
from inferlab.targets.compiling import MANIFEST
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model

BATCHES = 3
FIRST_CORE = (0,)
FLUSH_S = 60.0
"""For the end of the profiled process, in which the runtime writes what it still holds."""
SUMMARY_TIMEOUT_S = 1800.0


def run(model: Model, artifact_dir: Path, target_name: str, batch_size: int, out: Path) -> str:
    """The profiler's summary of batches of `batch_size` items on the device's first core; `out` then has the profile.

    Raises UnknownNameError for a target that there is not, UserError for one that is not here or has no profiler, for a
    folder that has something in it and for a batch that no compiled size holds, ArtifactError where the artifact cannot
    be loaded, MeasurementError where the profiler fails.
    """
    target = TARGETS.get(target_name)()
    profiling = target.profiling(out.resolve())
    if profiling is None:
        able = ", ".join(name for name in TARGETS if TARGETS.get(name)().profiling(out) is not None)
        raise UserError(f"--target {target_name!r} is not allowed; allowed: {able}: others have no profiler here")
    here = target.probe()
    if not here.available:
        raise UserError(f"--target {target_name}: {here.reason}; {here.hint}")
    if shutil.which(profiling.summary[0]) is None:
        raise UserError(f"{profiling.summary[0]} is not on PATH; {profiling.hint}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} is no empty folder; a profile needs one of its own")
    sizes = ArtifactRecord.read(artifact_dir / MANIFEST).batch_sizes
    if sizes and batch_size > max(sizes):
        raise UserError(
            f"--batch-size {batch_size} is not allowed; allowed: 1 to {max(sizes)}, the largest compiled size"
        )
    out.mkdir(parents=True, exist_ok=True)
    placement = target.placement(FIRST_CORE)
    factory = SessionFactory(artifact_dir.resolve(), model, placement.cpu_cores, batch_size, smallest_batch=batch_size)
    inputs = model.preprocess(model.example_samples(batch_size, seed=0))
    child = Child(
        "profiled session",
        profile_worker,
        (factory, inputs),
        placement.cpu_cores,
        environment={**placement.environment, **profiling.environment},
    )
    try:
        child.receive(HANDSHAKE_TIMEOUT_S, "running batches")
    finally:
        child.stop(grace_s=FLUSH_S)
    return f"{_summary(profiling)}\nThe profile is in {out}. {profiling.hint}."


def profile_worker(connection: Connection, factory: SessionFactory, inputs: dict[str, np.ndarray]) -> None:
    """Run batches, say so, and end as a program ends: the runtime writes the profile in its exit handlers."""
    session = factory()
    for _ in range(BATCHES):
        session.run(inputs)
    session.close()
    connection.send("done")
    raise SystemExit


def _summary(profiling: Profiling) -> str:
    try:
        done = subprocess.run(profiling.summary, capture_output=True, text=True, timeout=SUMMARY_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{profiling.summary[0]} did not end within {SUMMARY_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise MeasurementError(f"{' '.join(profiling.summary)} failed: {said}")
    return done.stdout.strip()
