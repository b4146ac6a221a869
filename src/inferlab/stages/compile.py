"""compile@model-optimization-target: an optimized model as a target's artifact, or the reason why there is none."""

from pathlib import Path

from inferlab.params import Params
from inferlab.records import OptimizationRecord
from inferlab.targets.compiling import compile_artifact


def run(params: Params, root: Path, model: str, optimization: str, target: str) -> None:
    """Write build/artifacts/<model>/<optimization>/<target>/."""
    optimized_dir = root / "build" / "optimized" / model / optimization
    compile_artifact(
        params.models[model],
        OptimizationRecord.read(optimized_dir / "optimization.json"),
        optimized_dir,
        target,
        params.compile.batch_sizes,
        root / "build" / "artifacts" / model / optimization / target,
    )
