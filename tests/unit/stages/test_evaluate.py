from pathlib import Path

import pytest
from targets.tiny import TinyModel, optimized, write_optimized, write_prepared

from inferlab.params import Params
from inferlab.records import QualityRecord
from inferlab.stages import evaluate as stage
from inferlab.targets.compiling import compile_artifact


@pytest.mark.parametrize("target", ["cpu-eager", "inf2-neuronx"])
def test_a_cell_is_read_from_and_written_to_its_own_folder(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferlab.targets.inf2_neuronx.shutil.which", lambda name: None)
    model = TinyModel()
    write_optimized(model, tmp_path / "optimized")
    write_prepared(model, tmp_path / "build/prepared/tiny", 5)
    artifact = tmp_path / "build/artifacts/tiny/original" / target
    compile_artifact(model, optimized(), tmp_path / "optimized", target, [1, 2], artifact)
    params = Params.model_construct(models={"tiny": model})
    stage.run(params, tmp_path, model="tiny", optimization="original", target=target)
    quality = QualityRecord.read(tmp_path / "results/quality/tiny/original" / target / "quality.json")
    assert (quality.outcome, quality.value) == (("measured", 1.0) if target == "cpu-eager" else ("unavailable", None))
