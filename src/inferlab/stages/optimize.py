"""optimize: one recipe on one prepared model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.optimize.recipe import optimize

if TYPE_CHECKING:
    from inferlab.params import Params


def run(params: Params, root: Path, model: str, optimization: str) -> None:
    """Write build/optimized/<model>/<optimization>/: module, program, what calibration gives, optimization.json."""
    recipe = params.optimizations[optimization]
    build = root / "build"
    out_dir = build / "optimized" / model / optimization
    prepared_dir = build / "prepared" / model
    row = params.models[model]
    optimize(row, optimization, recipe.precision, recipe.steps, prepared_dir, out_dir, params.run.seed)
