"""evaluate@model-optimization-target: quality measured on the artifact that is served."""

from pathlib import Path

from inferlab.params import Params
from inferlab.targets.evaluating import evaluate


def run(params: Params, root: Path, model: str, optimization: str, target: str) -> None:
    """Write results/quality/<model>/<optimization>/<target>/."""
    evaluate(
        root / "build" / "artifacts" / model / optimization / target,
        params.models[model],
        root / "build" / "prepared" / model,
        root / "results" / "quality" / model / optimization / target,
    )
