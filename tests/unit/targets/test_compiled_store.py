from pathlib import Path

import pytest

from inferlab.errors import ArtifactError
from inferlab.records import CompiledBinary
from inferlab.targets.compiled_store import Taken, taken_or_compiled

NEFF = CompiledBinary(batch_size=1, size_bytes=7, sha256="0")


class Compiler:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, out: Path) -> tuple[float, CompiledBinary | None]:
        self.calls += 1
        out.write_bytes(b"compiled")
        return 12.5, NEFF


def take(folder: Path, compiler: Compiler, inputs: dict[str, str], provenance: str = "hardware") -> Taken:
    return taken_or_compiled(inputs, provenance, folder / "out", compiler, folder / "store")  # type: ignore[arg-type]


def test_the_same_inputs_compile_once(tmp_path: Path) -> None:
    compiler = Compiler()
    first = take(tmp_path, compiler, {"flags": "-O2"})
    (tmp_path / "out").unlink()
    second = take(tmp_path, compiler, {"flags": "-O2"})
    assert (first.kept, second.kept, compiler.calls) == (False, True, 1)
    assert (tmp_path / "out").read_bytes() == b"compiled"
    assert (second.record.build_time_s, second.record.binary) == (12.5, NEFF)
    assert second.record.inputs == {"flags": "-O2"}


def test_other_inputs_and_other_provenance_compile_again(tmp_path: Path) -> None:
    compiler = Compiler()
    for inputs, provenance in (({"flags": "-O2"}, "fake"), ({"flags": "-O3"}, "fake"), ({"flags": "-O3"}, "hardware")):
        assert not take(tmp_path, compiler, inputs, provenance).kept
    assert compiler.calls == 3


@pytest.mark.parametrize("missing", ["compiled.json", "compiled"])
def test_what_was_not_kept_whole_is_compiled_again(tmp_path: Path, missing: str) -> None:
    compiler = Compiler()
    take(tmp_path, compiler, {})
    next(tmp_path.glob(f"store/*/{missing}")).unlink()
    assert not take(tmp_path, compiler, {}).kept
    assert take(tmp_path, compiler, {}).kept


def test_damage_is_an_error_and_no_artifact(tmp_path: Path) -> None:
    take(tmp_path, Compiler(), {})
    next(tmp_path.glob("store/*/compiled")).write_bytes(b"compiled?")
    with pytest.raises(ArtifactError, match="compiled is damaged"):
        take(tmp_path, Compiler(), {})
