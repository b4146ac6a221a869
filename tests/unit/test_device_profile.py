"""A profile of a device that is none: the stand-ins write and read it as documented."""

from pathlib import Path

import pytest
from targets.tiny import TinyModel, optimized, write_optimized

from inferlab.device_profile import run
from inferlab.errors import UserError
from inferlab.stand_ins.install import fake_neuron
from inferlab.targets.compiling import compile_apart

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def test_batches_are_profiled_in_a_process_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = TinyModel()
    write_optimized(model, tmp_path / "optimized")
    with fake_neuron(tmp_path / "device"):
        compile_apart(model, optimized(), tmp_path / "optimized", "inf2-neuronx", (1, 2), tmp_path / "artifact")
        said = run(model, tmp_path / "artifact", "inf2-neuronx", 2, Path("profile"))
        assert said.count("on core 0: a stand-in ran it") == 1
        assert "port 3001" in said
        assert [trace.name.partition("_")[2] for trace in Path("profile").rglob("*.ntff")] == ["instid_0_vnc_0.ntff"]
        with pytest.raises(UserError, match="--out profile is no empty folder"):
            run(model, tmp_path / "artifact", "inf2-neuronx", 2, Path("profile"))
        with pytest.raises(UserError, match="--batch-size 3 is not allowed; allowed: 1 to 2"):
            run(model, tmp_path / "artifact", "inf2-neuronx", 3, Path("other"))


def test_a_target_without_a_profiler_or_a_device_is_the_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="'cpu-eager' is not allowed; allowed: inf2-neuronx"):
        run(TinyModel(), tmp_path, "cpu-eager", 1, tmp_path / "profile")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="neuron-ls is not on PATH"):
        run(TinyModel(), tmp_path, "inf2-neuronx", 1, tmp_path / "profile")
