"""Runs a recipe: the steps of an optimization in turn on a prepared model, and what they come to."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.data.base import Samples
from inferlab.errors import Unsupported
from inferlab.files import check_digests, digests_of_folder
from inferlab.models.structure import load_module, save_module
from inferlab.optimize.base import Context, Step
from inferlab.optimize.export import PROGRAM_FILE, export_program
from inferlab.optimize.macs import macs_per_item, parameter_count, zero_share
from inferlab.records import OptimizationRecord, Precision, PreparedRecord, StepRecord
from inferlab.train.memory import reuse_freed_memory
from inferlab.train.threads import use_physical_cores

if TYPE_CHECKING:
    from torch import Tensor

    from inferlab.models.base import Model

RECORD_FILE = "optimization.json"
EXAMPLE_BATCH = 2
"""torch.export takes a batch of one for a constant."""


def optimize(
    model: Model, name: str, precision: Precision, steps: Sequence[Step], prepared_dir: Path, out_dir: Path, seed: int
) -> OptimizationRecord:
    """Run the steps on the module in `prepared_dir`; write module, program and record to `out_dir`, emptied before.

    A step that the model cannot take makes the outcome `unsupported`, with the reason and without a module.
    Raises ArtifactError where prepared files are damaged.
    """
    started = time.monotonic()
    _empty(out_dir)
    try:
        for step in steps:
            model.refuse(step.kind)
        record = _run(model, name, precision, steps, prepared_dir, out_dir, seed, started)
    except Unsupported as error:
        _empty(out_dir)
        record = OptimizationRecord(
            model=model.name, optimization=name, precision=precision, outcome="unsupported", reason=str(error)
        )
    record.write(out_dir / RECORD_FILE)
    return record


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _run(
    model: Model,
    name: str,
    precision: Precision,
    steps: Sequence[Step],
    prepared_dir: Path,
    out_dir: Path,
    seed: int,
    started: float,
) -> OptimizationRecord:
    reuse_freed_memory()
    use_physical_cores()
    check_digests(prepared_dir, PreparedRecord.read(prepared_dir / "prepared.json").files)
    module = load_module(model, prepared_dir)
    example = _example(model, seed)
    macs_original = macs_per_item(module, example)
    needs_data = bool(steps)
    context = Context(
        model=model,
        module=module,
        train=_stored(prepared_dir / "train.npz") if needs_data else None,
        calibration=_stored(prepared_dir / "calibration.npz") if needs_data else None,
        seed=seed,
        out_dir=out_dir,
    )
    taken = _apply(steps, context)
    save_module(context.module, out_dir)
    export_program(context.module, tuple(spec.name for spec in model.inputs), example, out_dir / PROGRAM_FILE)
    return OptimizationRecord(
        model=model.name,
        optimization=name,
        precision=precision,
        outcome="measured",
        steps=tuple(taken),
        macs=macs_per_item(context.module, example),
        macs_original=macs_original,
        parameters=parameter_count(context.module),
        sparsity=zero_share(context.module),
        time_s=time.monotonic() - started,
        files=digests_of_folder(out_dir),
    )


def _apply(steps: Sequence[Step], context: Context) -> list[StepRecord]:
    taken: list[StepRecord] = []
    for step in steps:
        started = time.monotonic()
        metrics = step.apply(context)
        options = step.model_dump(mode="json", exclude={"kind"})
        taken.append(StepRecord(kind=step.kind, options=options, time_s=time.monotonic() - started, metrics=metrics))
    at_end = {key: value for finish in context.at_end for key, value in finish().items()}
    if at_end:
        taken[-1] = taken[-1].model_copy(update={"metrics": {**taken[-1].metrics, **at_end}})
    return taken


def _example(model: Model, seed: int) -> tuple[Tensor, ...]:
    import torch

    inputs = model.preprocess(model.example_samples(EXAMPLE_BATCH, seed))
    return tuple(torch.from_numpy(inputs[spec.name]) for spec in model.inputs)


def _stored(path: Path) -> Samples | None:
    return Samples.read(path) if path.is_file() else None
