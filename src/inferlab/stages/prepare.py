"""prepare: a model's weights, fitted to its data, and the samples that later stages train, judge and calibrate with."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inferlab.data.base import Samples, Splits
from inferlab.files import digests_of_folder
from inferlab.models.structure import save_module
from inferlab.records import PreparedRecord
from inferlab.train.memory import reuse_freed_memory
from inferlab.train.threads import use_physical_cores

if TYPE_CHECKING:
    from inferlab.models.base import Model
    from inferlab.params import Params

RANDOM_CALIBRATION_COUNT = 16
"""For models without data: ranges of noise need few samples."""


def run(params: Params, root: Path, model: str) -> None:
    """Write build/prepared/<model>/: module, samples, prepared.json."""
    row, out_dir = params.models[model], root / "build" / "prepared" / model
    started = time.monotonic()
    reuse_freed_memory()
    use_physical_cores()
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.mkdir(parents=True)
    samples, checks = _samples(row, params)
    for name, part in samples.items():
        part.write(out_dir / f"{name}.npz")
    fitted = _fitted(row, samples, params.run.seed, out_dir)
    PreparedRecord(
        model=model,
        dataset=row.dataset.name if row.dataset else None,
        counts={name: len(part) for name, part in samples.items()},
        checks=checks,
        fit=fitted,
        files=digests_of_folder(out_dir),
        time_s=time.monotonic() - started,
    ).write(out_dir / "prepared.json")


def _samples(model: Model, params: Params) -> tuple[dict[str, Samples], dict[str, object]]:
    seed, share = params.run.seed, params.profile.data
    evaluation_count = model.evaluation_count(share.evaluation_fraction)
    if model.dataset is None:
        parts = {"evaluation": _random(model, evaluation_count, seed)}
        if "calibrate" not in model.optimizations_refused:
            parts["calibration"] = _random(model, RANDOM_CALIBRATION_COUNT, seed + 1)
        return parts, {}
    calibration_count = max(1, round(model.dataset.calibration * share.calibration_fraction))
    train_count = max(calibration_count, round(model.dataset.train * share.train_fraction))
    splits: Splits = model.dataset.load(train_count, evaluation_count, seed)
    calibration = splits.calibration.take(slice(0, calibration_count))
    parts = {"train": splits.train, "evaluation": splits.evaluation, "calibration": calibration}
    return {name: Samples(model.encode_samples(part.raw), part.labels) for name, part in parts.items()}, splits.checks


def _random(model: Model, count: int, seed: int) -> Samples:
    """Samples without meaning, labelled with the first class."""
    return Samples(model.example_samples(count, seed), np.zeros(count, dtype=np.int64))


def _fitted(model: Model, samples: dict[str, Samples], seed: int, out_dir: Path) -> dict[str, object]:
    """Fit the module where there is something to fit, and store it."""
    import torch

    torch.manual_seed(seed)
    module = model.pretrained()
    result: dict[str, object] = {}
    if model.fit is not None and "train" in samples:
        from inferlab.train.fit import fit

        result = {**fit(module, model, samples["train"], model.fit, seed, f"fit {model.name}")}
    save_module(module, out_dir)
    return result
