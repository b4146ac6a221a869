from pathlib import Path

import pytest
from train.tiny import TinyModel, halves

from inferlab.errors import ArtifactError, Unsupported
from inferlab.files import check_digests
from inferlab.models.structure import load_module
from inferlab.optimize.base import STEPS, Context, Step
from inferlab.optimize.recipe import optimize
from inferlab.records import OptimizationRecord
from inferlab.train.accuracy import accuracy

ROWS = {
    "calibrate": {"sensitivity_samples": 8},
    "prune": {"macs_kept": 0.7, "tolerance": 0.1, "round_to": 1, "samples": 32},
    "sparsify": {"zeroed": 0.5},
    "sparsify-2-4": {},
    "finetune": {},
}


def steps(*kinds: str) -> list[Step]:
    return [STEPS.get(kind).model_validate({"kind": kind, **ROWS[kind]}) for kind in kinds]


def run(model: TinyModel, prepared_dir: Path, out_dir: Path, *kinds: str) -> OptimizationRecord:
    precision = "int8-static" if "calibrate" in kinds else "fp32"
    return optimize(model, "variant", precision, steps(*kinds), prepared_dir, out_dir, seed=0)


def test_the_kinds_of_steps_are_registered() -> None:
    assert STEPS.names() == sorted(ROWS)


def test_the_original_is_untouched(model: TinyModel, prepared_dir: Path, tmp_path: Path) -> None:
    record = run(model, prepared_dir, tmp_path / "out")
    assert OptimizationRecord.read(tmp_path / "out" / "optimization.json") == record
    assert (record.outcome, record.steps, record.sparsity) == ("measured", (), 0.0)
    assert record.macs == record.macs_original > 0
    assert set(record.files) == {"module.safetensors", "structure.json", "program.pt2"}
    check_digests(tmp_path / "out", record.files)
    assert (tmp_path / "out" / "module.safetensors").read_bytes() == (prepared_dir / "module.safetensors").read_bytes()


def test_a_pruned_and_tuned_module_is_smaller_and_still_right(
    model: TinyModel, prepared_dir: Path, tmp_path: Path
) -> None:
    record = run(model, prepared_dir, tmp_path / "out", "prune", "finetune")
    assert [step.kind for step in record.steps] == ["prune", "finetune"]
    assert 0.6 <= record.macs / record.macs_original <= 0.8
    assert record.steps[0].options == {"macs_kept": 0.7, "tolerance": 0.1, "round_to": 1, "samples": 32}
    assert accuracy(load_module(model, tmp_path / "out"), model, halves(64, 9)) > 0.95


def test_a_sparse_module_has_its_zeroes_in_the_record(model: TinyModel, prepared_dir: Path, tmp_path: Path) -> None:
    record = run(model, prepared_dir, tmp_path / "out", "sparsify", "finetune")
    assert record.sparsity == pytest.approx(0.5)
    assert record.steps[-1].metrics["zero_share_at_end"] == record.sparsity
    assert record.macs == record.macs_original


def test_calibration_adds_its_files(model: TinyModel, prepared_dir: Path, tmp_path: Path) -> None:
    record = run(model, prepared_dir, tmp_path / "out", "calibrate")
    assert {"calibration.npz", "ranges.json"} < set(record.files)
    assert record.precision == "int8-static"


def test_a_step_that_the_model_refuses_makes_it_unsupported(
    model: TinyModel, prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "of an earlier run").touch()
    monkeypatch.setattr(TinyModel, "optimizations_refused", property(lambda _: {"prune": "too tiny to prune"}))
    record = run(model, prepared_dir, tmp_path / "out", "prune")
    assert (record.outcome, record.reason, record.files) == ("unsupported", "too tiny to prune", {})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["optimization.json"]


def test_a_step_that_gives_up_leaves_no_files_beside_the_record(
    model: TinyModel, prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(self: Step, context: Context) -> dict[str, float]:
        (context.out_dir / "half").touch()
        raise Unsupported("no way")

    monkeypatch.setattr(STEPS.get("sparsify"), "apply", give_up)
    record = run(model, prepared_dir, tmp_path / "out", "sparsify")
    assert (record.outcome, record.reason) == ("unsupported", "no way")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["optimization.json"]


def test_damaged_prepared_files_are_named(model: TinyModel, prepared_dir: Path, tmp_path: Path) -> None:
    content = bytearray((prepared_dir / "train.npz").read_bytes())
    content[60] ^= 1
    (prepared_dir / "train.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"train\.npz is damaged"):
        run(model, prepared_dir, tmp_path / "out")


def test_the_same_seed_gives_the_same_files(model: TinyModel, prepared_dir: Path, tmp_path: Path) -> None:
    first, second = (run(model, prepared_dir, tmp_path / name, "prune", "finetune") for name in ("a", "b"))
    assert first.files["module.safetensors"] == second.files["module.safetensors"]
