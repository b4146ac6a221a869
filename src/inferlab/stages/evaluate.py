"""evaluate@model-optimization: quality measured on each target's artifact, the very one that is served."""

from pathlib import Path

from inferlab.params import Params
from inferlab.targets.evaluating import Evaluator


def run(params: Params, root: Path, model: str, optimization: str) -> None:
    """Write results/quality/<model>/<optimization>/<target>/ for every target of the run."""
    with Evaluator(params.models[model], root / "build" / "prepared" / model) as evaluator:
        for target in params.run.targets:
            cell = Path(model) / optimization / target
            evaluator.evaluate(root / "build" / "artifacts" / cell, root / "results" / "quality" / cell)
