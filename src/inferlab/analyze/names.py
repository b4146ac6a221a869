"""What a machine is called in tables: its chip, cores and accelerators, and what tells it from another one alike."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from inferlab.records import MachineRecord

Key = TypeVar("Key")

NO_NAME = re.compile(r"\(.*?\)|@.*|\b\d+-core\b|\bprocessor\b|\bcpu\b", re.IGNORECASE)
"""Parts of a processor's name that tell no chip from another."""


def machine_names(machines: Iterable[MachineRecord]) -> dict[tuple[str, str], str]:
    """A short name for each machine and environment, by their ids; no two are the same.

    Machines of the same kind differ by memory or, where that is the same too, by the end of their id; environments of
    one machine by the version of PyTorch or the end of theirs.
    """
    found = {(machine.machine_id, machine.environment_id): machine for machine in machines}
    alike = {machine.machine_id: machine for machine in found.values()}
    names = {key: short_name(machine) for key, machine in alike.items()}
    names = _told_apart(names, {key: f"{name}, {alike[key].memory_gib} GiB" for key, name in names.items()})
    names = _told_apart(names, {key: f"{name} ({_end(key)})" for key, name in names.items()})
    whole = {key: names[key[0]] for key in found}
    whole = _told_apart(whole, {key: f"{name}, torch {_torch(found[key])}" for key, name in whole.items()})
    return _told_apart(whole, {key: f"{name}, environment {_end(key[1])}" for key, name in whole.items()})


def short_name(machine: MachineRecord) -> str:
    """Such as `AMD EPYC 7R13, 4 cores, 1 × NVIDIA A10G`; Neuron devices are counted without their numbers."""
    chip = " ".join(NO_NAME.sub(" ", machine.cpu_model).split()) or machine.architecture
    cores = f"{machine.physical_cores} core{'' if machine.physical_cores == 1 else 's'}"
    devices = Counter(
        re.sub(r"\s+\d+$", "", device.name) if device.kind == "neuron" else device.name
        for device in machine.accelerators
    )
    return ", ".join([chip, cores, *(f"{count} × {name}" for name, count in devices.items())])


def _told_apart(names: dict[Key, str], longer: dict[Key, str]) -> dict[Key, str]:
    """The longer name in place of each that several have, where the longer ones tell them apart."""
    counts, counts_longer = Counter(names.values()), Counter(longer.values())
    return {
        key: longer[key] if counts[name] > 1 and counts_longer[longer[key]] == 1 else name
        for key, name in names.items()
    }


def _torch(machine: MachineRecord) -> str:
    return machine.packages.get("torch", "none").partition("+")[0]


def _end(identifier: str) -> str:
    """The checksum with which an id ends."""
    return identifier.rpartition("-")[2]
