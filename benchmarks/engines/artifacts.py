"""Artifacts of the models that engines are compared on, without the pipeline around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from inferlab.errors import ArtifactError
from inferlab.models.base import MODELS, Model
from inferlab.models.structure import save_module
from inferlab.optimize.export import PROGRAM_FILE, export_program
from inferlab.optimize.macs import macs_per_item
from inferlab.records import ArtifactRecord, OptimizationRecord, Precision
from inferlab.targets.compiling import MANIFEST, compile_apart
from inferlab.targets.source import CALIBRATION_FILE

MODEL_ROWS = {
    "resnet-50": {"family": "resnet", "image_size_px": 224},
    "bert-base": {"family": "bert", "sequence_length": 128},
}
TARGETS = ("cpu-eager", "cpu-eager-tuned", "cpu-inductor", "cpu-onnxruntime", "cpu-openvino")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8-static", "int8-dynamic")
BATCH_SIZES = (1, 8)
CALIBRATION_SAMPLES = 16


def model_called(name: str) -> Model:
    """The model of a row."""
    row = MODEL_ROWS[name]
    return MODELS.get(str(row["family"])).model_validate({"name": name, **row})


def write_optimized(model: Model, folder: Path) -> int:
    """What the optimize stage leaves of an untouched model and its calibration samples; returns MACs for one item."""
    module = model.pretrained()
    inputs = model.preprocess(model.example_samples(2, seed=0))
    example = tuple(torch.from_numpy(inputs[spec.name]) for spec in model.inputs)
    if not (folder / CALIBRATION_FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        save_module(module, folder)
        export_program(module, tuple(spec.name for spec in model.inputs), example, folder / PROGRAM_FILE)
        calibration = model.preprocess(model.example_samples(CALIBRATION_SAMPLES, seed=1))
        np.savez(folder / CALIBRATION_FILE, **calibration)  # type: ignore[arg-type]
    return macs_per_item(module, example)


def artifact_of(model: Model, target: str, precision: Precision, work: Path, sizes: Sequence[int]) -> ArtifactRecord:
    """Compile what `work` does not have yet. The folder is `folder_of` these."""
    folder = folder_of(model.name, target, precision, work)
    try:
        return ArtifactRecord.read(folder / MANIFEST)
    except ArtifactError:
        optimization = OptimizationRecord(
            model=model.name, optimization=precision, precision=precision, outcome="measured"
        )
        return compile_apart(model, optimization, work / model.name / "optimized", target, sizes, folder)


def folder_of(model: str, target: str, precision: str, work: Path) -> Path:
    """Where an artifact lies."""
    return work / model / precision / target
