"""What machines are called."""

import pytest

from inferlab.analyze.names import machine_names, short_name
from inferlab.records import Accelerator, CorePlan, MachineRecord

PLAN = CorePlan(server=(0,), load=(1,), isolated=True, note="")


def machine(identifier: str = "m-1", environment: str = "e-1", cpu: str = "AMD EPYC", **facts: object) -> MachineRecord:
    rest: dict[str, object] = {
        "machine_id": identifier,
        "environment_id": environment,
        "cpu_model": cpu,
        "architecture": "x86_64",
        "logical_cores": 4,
        "physical_cores": 2,
        "memory_gib": 8,
        "accelerators": (),
        "python": "3.11.9",
        "packages": {"torch": "2.13.0+cpu"},
        "core_plan": PLAN,
    }
    return MachineRecord.model_validate({**rest, **facts})


@pytest.mark.parametrize(
    ("cpu", "chip"),
    [
        ("AMD EPYC (family 26, model 2, stepping 1)", "AMD EPYC"),
        ("AMD EPYC 7R13 48-Core Processor", "AMD EPYC 7R13"),
        (
            "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz (family 6, model 106, stepping 6)",
            "Intel Xeon Platinum 8375C",
        ),
        ("", "x86_64"),
    ],
)
def test_a_name_is_chip_and_cores(cpu: str, chip: str) -> None:
    assert short_name(machine(cpu=cpu)) == f"{chip}, 2 cores"
    assert short_name(machine(cpu=cpu, physical_cores=1)) == f"{chip}, 1 core"


def test_accelerators_are_counted_by_name() -> None:
    gpus = [Accelerator(kind="cuda", name="NVIDIA GeForce RTX 3090", cores=10496)] * 2
    assert short_name(machine(accelerators=gpus)) == "AMD EPYC, 2 cores, 2 × NVIDIA GeForce RTX 3090"
    neurons = [Accelerator(kind="neuron", name=f"Neuron device {number}", cores=2) for number in range(6)]
    assert short_name(machine(accelerators=neurons)) == "AMD EPYC, 2 cores, 6 × Neuron device"


def test_machines_of_one_kind_are_told_apart_by_memory_or_by_id() -> None:
    others = [machine("a-1"), machine("a-2", memory_gib=16), machine("a-3", cpu="Other")]
    assert list(machine_names(others).values()) == [
        "AMD EPYC, 2 cores, 8 GiB",
        "AMD EPYC, 2 cores, 16 GiB",
        "Other, 2 cores",
    ]
    same = machine_names([machine("a-1"), machine("a-2")])
    assert same == {("a-1", "e-1"): "AMD EPYC, 2 cores (1)", ("a-2", "e-1"): "AMD EPYC, 2 cores (2)"}


def test_environments_of_one_machine_are_told_apart() -> None:
    torch = machine_names([machine(), machine(environment="e-2", packages={"torch": "2.9.0"})])
    assert list(torch.values()) == ["AMD EPYC, 2 cores, torch 2.13.0", "AMD EPYC, 2 cores, torch 2.9.0"]
    other = machine_names([machine(), machine(environment="e-2")])
    assert list(other.values()) == ["AMD EPYC, 2 cores, environment 1", "AMD EPYC, 2 cores, environment 2"]
