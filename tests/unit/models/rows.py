"""Rows of params.yaml for tests."""

from typing import Any

_FIT = {
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "autocast": "none",
}
_PICTURE_FIT = {**_FIT, "picture_sizes_px": [32], "flip": True}

PICTURES: dict[str, Any] = {
    "image_size_px": 48,
    "dataset": {"name": "fashion-mnist", "path": None, "train": 100, "test": 50, "calibration": 20},
    "fit": _PICTURE_FIT,
    "finetune": _PICTURE_FIT,
}
MINILM: dict[str, Any] = {
    "sequence_length": 16,
    "dataset": {"name": "review-snippets", "train": 100, "test": 50, "calibration": 20},
    "fit": _FIT,
    "finetune": _FIT,
}
