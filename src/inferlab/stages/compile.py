"""compile@model-optimization: an optimized model as each target's artifact, or the reason why there is none."""

from pathlib import Path

from inferlab.params import Params
from inferlab.progress import progress
from inferlab.records import OptimizationRecord
from inferlab.targets.base import TARGETS
from inferlab.targets.compiling import compile_apart, compile_artifact


def run(params: Params, root: Path, model: str, optimization: str) -> None:
    """Write build/artifacts/<model>/<optimization>/<target>/ for every target of the run.

    CPU targets share this process, and so what all of them import; an accelerator gets a process of its own, since a
    device belongs to the process that first touched it.
    """
    optimized_dir = root / "build" / "optimized" / model / optimization
    record = OptimizationRecord.read(optimized_dir / "optimization.json")
    with progress(len(params.run.targets), f"compile {model} {optimization}") as advance:
        for name in params.run.targets:
            target = TARGETS.get(name)()
            loads_engine = target.probe().available or bool(target.compiles_ahead())
            compiling = compile_apart if loads_engine and not target.on_cpu else compile_artifact
            out_dir = root / "build" / "artifacts" / model / optimization / name
            compiling(params.models[model], record, optimized_dir, name, params.compile.batch_sizes, out_dir)
            advance(1)
