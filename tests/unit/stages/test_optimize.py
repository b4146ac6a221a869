import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from train.tiny import tiny_model

from inferlab.optimize import recipe
from inferlab.optimize.base import STEPS
from inferlab.records import OptimizationRecord
from inferlab.stages import optimize, prepare


def test_an_optimization_of_a_prepared_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in (prepare, recipe):
        monkeypatch.setattr(user, "use_physical_cores", lambda: torch.set_num_threads(1))
    step = STEPS.get("sparsify").model_validate({"kind": "sparsify", "zeroed": 0.25})
    data = SimpleNamespace(train_fraction=1.0, evaluation_fraction=1.0, calibration_fraction=1.0)
    params = SimpleNamespace(
        models={"tiny": tiny_model()},
        optimizations={"sparse": SimpleNamespace(precision="fp32", steps=(step,))},
        profile=SimpleNamespace(data=data),
        run=SimpleNamespace(seed=3),
    )
    prepare.run(params, tmp_path, model="tiny")  # type: ignore[arg-type]
    optimize.run(params, tmp_path, model="tiny", optimization="sparse")  # type: ignore[arg-type]
    record = OptimizationRecord.read(tmp_path / "build" / "optimized" / "tiny" / "sparse" / "optimization.json")
    assert (record.model, record.optimization, record.outcome) == ("tiny", "sparse", "measured")
    assert record.sparsity == pytest.approx(0.25)
    assert record.steps[0].options == {"zeroed": 0.25}


REFUSED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from inferlab.models.base import MODELS
from inferlab.optimize.base import STEPS
from inferlab.stages import optimize

step = STEPS.get("finetune").model_validate({"kind": "finetune"})
params = SimpleNamespace(
    models={"noop": MODELS.get("noop").model_validate({"name": "noop", "family": "noop"})},
    optimizations={"tuned": SimpleNamespace(precision="fp32", steps=(step,))},
    run=SimpleNamespace(seed=3),
)
optimize.run(params, Path(sys.argv[1]), model="noop", optimization="tuned")
print("torch" in sys.modules)
"""


def test_a_refused_optimization_does_not_wait_for_torch(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        [sys.executable, "-c", REFUSED, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert shown.split() == ["False"]
    record = OptimizationRecord.read(tmp_path / "build" / "optimized" / "noop" / "tuned" / "optimization.json")
    assert record.outcome == "unsupported"
