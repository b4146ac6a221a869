"""Make one artifact: ask the target, build, and describe what was built. The folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from inferlab.child import TERMINATE_GRACE_S, Child
from inferlab.errors import Unsupported
from inferlab.files import digests_of_folder
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord, OptimizationRecord
from inferlab.targets.base import TARGETS, Target
from inferlab.targets.operators import engagement_of
from inferlab.targets.source import Source

MANIFEST = "artifact.json"
LONGEST_BUILD_S = 6 * 3600.0
"""Compilers of accelerators can take an hour for a large model; one that is silent for longer hangs."""


def compile_artifact(
    model: Model,
    optimization: OptimizationRecord,
    optimized_dir: Path,
    target_name: str,
    batch_sizes: Sequence[int],
    out_dir: Path,
) -> ArtifactRecord:
    """Compile an optimized model for a target into `out_dir`, replacing what is there, with its manifest.

    A target that is not here or cannot do what is asked is an outcome of the record, not an error. Raises
    UnknownNameError for a target that no file registers, ArtifactError where the optimized model is damaged.
    """
    target = TARGETS.get(target_name)()
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    for left_over in out_dir.parent.glob(f".{out_dir.name}.*"):
        shutil.rmtree(left_over)  # of a build that was killed
    part = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        record = _built(target, model, optimization, optimized_dir, sorted(batch_sizes), part)
        record.write(part / MANIFEST)
        part.chmod(0o755)
        if out_dir.exists():
            shutil.rmtree(out_dir)
        part.rename(out_dir)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def compile_apart(
    model: Model,
    optimization: OptimizationRecord,
    optimized_dir: Path,
    target_name: str,
    batch_sizes: Sequence[int],
    out_dir: Path,
) -> ArtifactRecord:
    """Do the same as `compile_artifact` in a fresh process that may use every core, and raise what it raises there."""
    arguments = (model, optimization, optimized_dir.resolve(), target_name, tuple(batch_sizes), out_dir.resolve())
    child = Child(f"compiler for {target_name}", compile_worker, arguments, sorted(os.sched_getaffinity(0)))
    try:
        record: ArtifactRecord = child.receive(LONGEST_BUILD_S, "compiling")
    finally:
        child.stop(grace_s=TERMINATE_GRACE_S)
    return record


def compile_worker(connection: Connection, *arguments: Any) -> None:
    """Send the record of what `compile_artifact` makes of the arguments."""
    connection.send(compile_artifact(*arguments))


def _built(
    target: Target,
    model: Model,
    optimization: OptimizationRecord,
    optimized_dir: Path,
    batch_sizes: Sequence[int],
    folder: Path,
) -> ArtifactRecord:
    """The record of what `target` built into `folder`, or of why it built nothing."""
    nothing = ArtifactRecord(
        model=model.name,
        optimization=optimization.optimization,
        target=target.name,
        precision=optimization.precision,
        outcome="unsupported",
    )
    here = target.probe()
    ahead = "" if here.available else target.compiles_ahead()
    absent = nothing.model_copy(update={"outcome": "unavailable", "reason": here.reason, "hint": here.hint})
    if not here.available and not ahead:
        return absent
    refusal = target.refusal(optimization.precision)
    if refusal is None and optimization.outcome == "unsupported":
        refusal = optimization.reason
    if refusal is not None:
        return nothing.model_copy(update={"reason": refusal})
    source = Source(model, optimized_dir)
    # What all targets import and read first is no part of their build time.
    source.program  # noqa: B018
    calibration = source.calibration if optimization.precision == "int8-static" else None
    started = time.perf_counter()
    try:
        built = target.compile(model, source, optimization.precision, calibration, batch_sizes, folder)
    except Unsupported as refused:
        _empty(folder)
        return nothing.model_copy(update={"reason": str(refused)})
    build_time_s = time.perf_counter() - started if built.build_time_s is None else built.build_time_s
    if ahead:
        _empty(folder)  # what cannot run here is no artifact of this machine
        reason = f"{here.reason}; compiled for another machine in {build_time_s:.0f} s"
        return absent.model_copy(update={"reason": reason, "hint": ahead})
    return nothing.model_copy(
        update={
            "outcome": "measured",
            "provenance": target.provenance(),
            "build_time_s": build_time_s,
            "size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            "files": digests_of_folder(folder),
            "batch_sizes": built.batch_sizes,
            "binaries": built.binaries,
            "engagement": engagement_of(built.operators, optimization),
            "versions": built.versions,
            "settings": built.settings,
        }
    )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
