import json
from pathlib import Path

import pytest

from inferlab.errors import UserError
from inferlab.targets.neuron_devices import count_visible, neuron_devices, visible_cores

OLD_TOOLS = {"neuron_device": 0, "bdf": "00:1f.0", "connected_to": None, "nc_count": 2, "memory_size": 2**35}


def tool(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "neuron-ls"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no driver >&2; exit 1", "neuron-ls failed: no driver"),
        ("echo nonsense", "neuron-ls gave no list of devices: the document: Invalid JSON"),
        ("echo '{}'", "neuron-ls gave no list of devices: the document: "),
        ("""echo '[{"neuron_device": 0, "nc_count": 0}]'""", "neuron-ls gave no list of devices: 0.nc_count: "),
        ("echo '[]'", "neuron-ls lists no Neuron device"),
    ],
)
def test_what_the_tool_says_is_the_reason(
    script: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool(tmp_path, monkeypatch, script)
    devices, problem = neuron_devices()
    assert devices == ()
    assert problem.startswith(reason)


def test_tools_of_older_releases_list_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool(tmp_path, monkeypatch, f"echo '{json.dumps([OLD_TOOLS])}'")
    (device,), problem = neuron_devices()
    assert (device.neuron_device, device.nc_count, device.memory_size, problem) == (0, 2, 2**35, "")


def test_a_tool_that_is_no_program_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "neuron-ls").write_bytes(b"\x7fELF")
    (tmp_path / "neuron-ls").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert neuron_devices()[1].startswith("neuron-ls cannot be started: ")


def test_cores_are_an_index_or_a_range() -> None:
    assert visible_cores((3,)) == {"NEURON_RT_VISIBLE_CORES": "3"}
    assert visible_cores((2, 1, 0)) == {"NEURON_RT_VISIBLE_CORES": "0-2"}
    with pytest.raises(UserError, match=r"NeuronCores \[0, 2\] of one process"):
        visible_cores((0, 2))
    with pytest.raises(UserError):
        visible_cores(())


def test_cores_in_the_environment_are_counted_as_the_runtime_reads_them() -> None:
    assert [count_visible(text) for text in ("0", "11", "2-5")] == [1, 1, 4]
    for text in ("", "one", "0,2", "3-1", "-1"):
        with pytest.raises(UserError, match=f"NEURON_RT_VISIBLE_CORES '{text}' is not allowed; allowed: an index"):
            count_visible(text)
