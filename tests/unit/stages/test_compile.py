from pathlib import Path

from targets.tiny import TinyModel, optimized, write_optimized

from inferlab.params import Compile, Params
from inferlab.records import ArtifactRecord
from inferlab.stages import compile as stage


def test_a_cell_is_read_from_and_written_to_its_own_folder(tmp_path: Path) -> None:
    params = Params.model_construct(models={"tiny": TinyModel()}, compile=Compile(batch_sizes=(1, 2)))
    folder = tmp_path / "build" / "optimized" / "tiny" / "original"
    write_optimized(TinyModel(), folder)
    optimized().write(folder / "optimization.json")
    stage.run(params, tmp_path, model="tiny", optimization="original", target="cpu-eager")
    record = ArtifactRecord.read(tmp_path / "build/artifacts/tiny/original/cpu-eager/artifact.json")
    assert (record.outcome, record.batch_sizes) == ("measured", (1, 2))
