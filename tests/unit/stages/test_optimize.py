from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from train.tiny import tiny_model

from inferlab.optimize.base import STEPS
from inferlab.records import OptimizationRecord
from inferlab.stages import optimize, prepare


def test_an_optimization_of_a_prepared_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in (prepare, optimize):
        monkeypatch.setattr(stage, "use_physical_cores", lambda: torch.set_num_threads(1))
    step = STEPS.get("sparsify").model_validate({"kind": "sparsify", "zeroed": 0.25})
    data = SimpleNamespace(train_fraction=1.0, evaluation_fraction=1.0)
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
