from pathlib import Path

import pytest

from inferlab.machine import cpu_model, describe_machine, installed, memory_gib, physical_cores, plan_cores
from inferlab.records import Accelerator

CPUINFO = "processor\t: 0\nmodel name\t: AMD EPYC\ncpu family\t: 26\nmodel\t\t: 2\nstepping\t: 1\n\nprocessor\t: 1\n"


def topology(folder: Path, siblings: dict[int, str]) -> Path:
    for cpu, text in siblings.items():
        path = folder / f"cpu{cpu}" / "topology"
        path.mkdir(parents=True)
        (path / "thread_siblings_list").write_text(text + "\n")
    return folder


def test_the_processor_is_told_from_others_of_the_same_name() -> None:
    assert cpu_model(CPUINFO) == "AMD EPYC (family 26, model 2, stepping 1)"
    assert cpu_model("") == "unknown processor"


def test_memory_is_rounded_so_that_kernels_do_not_change_it() -> None:
    assert memory_gib("MemTotal:       24650000 kB\n") == memory_gib("MemTotal:       24651000 kB\n") == 24


def test_hyperthreads_are_one_core(tmp_path: Path) -> None:
    folder = topology(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert physical_cores([0, 1, 2, 3], folder) == [[0, 2], [1, 3]]


def test_two_cores_are_one_and_one() -> None:
    plan = plan_cores([[0], [1]])
    assert (plan.load, plan.server, plan.isolated) == ((0,), (1,), True)


def test_no_siblings_stand_across_the_border() -> None:
    plan = plan_cores([[0, 4], [1, 5], [2, 6], [3, 7]])
    assert plan.load == (0,)
    assert plan.server == (1, 2, 3)


def test_one_core_is_shared_and_says_so() -> None:
    plan = plan_cores([[0, 1]])
    assert not plan.isolated
    assert "share" in plan.note


def test_the_hardware_id_changes_with_the_hardware_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    here = describe_machine([])
    assert describe_machine([]) == here
    with_gpu = describe_machine([Accelerator(kind="cuda", name="T4", cores=1)])
    assert with_gpu.machine_id != here.machine_id
    assert with_gpu.environment_id == here.environment_id
    monkeypatch.setattr("inferlab.machine.installed", lambda names: {"torch": "0.0.1"})
    elsewhere = describe_machine([])
    assert elsewhere.machine_id == here.machine_id
    assert elsewhere.environment_id != here.environment_id
    assert "torch0.0.1" in elsewhere.environment_id


def test_packages_that_are_absent_are_left_out() -> None:
    assert set(installed(["pydantic", "no-such-distribution"])) == {"pydantic"}
