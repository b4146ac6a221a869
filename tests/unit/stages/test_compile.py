from pathlib import Path
from typing import Any

import pytest
from targets.tiny import TinyModel, optimized, write_optimized

from inferlab.params import Compile, Params, Run
from inferlab.records import ArtifactRecord
from inferlab.stages import compile as stage
from inferlab.targets.base import Availability


def write_cell(root: Path, targets: tuple[str, ...]) -> Params:
    folder = root / "build" / "optimized" / "tiny" / "original"
    write_optimized(TinyModel(), folder)
    optimized().write(folder / "optimization.json")
    return Params.model_construct(
        run=Run.model_construct(targets=targets), models={"tiny": TinyModel()}, compile=Compile(batch_sizes=(1, 2))
    )


def test_a_cell_holds_every_target_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.neuron_devices.shutil.which", lambda name: None)
    stage.run(write_cell(tmp_path, ("cpu-eager", "inf2-neuronx")), tmp_path, model="tiny", optimization="original")
    cell = tmp_path / "build/artifacts/tiny/original"
    eager = ArtifactRecord.read(cell / "cpu-eager" / "artifact.json")
    assert (eager.outcome, eager.batch_sizes) == ("measured", (1, 2))
    assert ArtifactRecord.read(cell / "inf2-neuronx" / "artifact.json").outcome == "unavailable"


def test_an_accelerator_that_is_here_gets_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Availability(available=True)
    monkeypatch.setattr("inferlab.targets.inf2_neuronx.Inf2NeuronX.probe", lambda self: here)
    made: dict[str, list[str]] = {"here": [], "apart": []}

    def recorded(where: str) -> Any:
        return lambda *arguments: made[where].append(arguments[3])

    monkeypatch.setattr(stage, "compile_artifact", recorded("here"))
    monkeypatch.setattr(stage, "compile_apart", recorded("apart"))
    stage.run(write_cell(tmp_path, ("cpu-eager", "inf2-neuronx")), tmp_path, model="tiny", optimization="original")
    assert made == {"here": ["cpu-eager"], "apart": ["inf2-neuronx"]}
