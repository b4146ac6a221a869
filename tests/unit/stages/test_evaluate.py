from pathlib import Path

import pytest
from targets.tiny import TinyModel, optimized, write_optimized, write_prepared

from inferlab.params import Params, Run
from inferlab.records import QualityRecord
from inferlab.stages import evaluate as stage
from inferlab.targets.compiling import compile_artifact


def test_a_cell_holds_every_target_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.neuron_devices.shutil.which", lambda name: None)
    model = TinyModel()
    write_optimized(model, tmp_path / "optimized")
    write_prepared(model, tmp_path / "build/prepared/tiny", 5)
    targets = ("cpu-eager", "inf2-neuronx")
    for target in targets:
        artifact = tmp_path / "build/artifacts/tiny/original" / target
        compile_artifact(model, optimized(), tmp_path / "optimized", target, [1, 2], artifact)
    params = Params.model_construct(run=Run.model_construct(targets=targets), models={"tiny": model})
    stage.run(params, tmp_path, model="tiny", optimization="original")
    folder = tmp_path / "results/quality/tiny/original"
    records = {target: QualityRecord.read(folder / target / "quality.json") for target in targets}
    assert (records["cpu-eager"].outcome, records["cpu-eager"].value) == ("measured", 1.0)
    assert (records["inf2-neuronx"].outcome, records["inf2-neuronx"].value) == ("unavailable", None)
