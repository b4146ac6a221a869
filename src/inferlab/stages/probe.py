"""probe: what machine is this. Always runs, so that results of another machine are never restored from the cache."""

from pathlib import Path

from inferlab.machine import describe_machine
from inferlab.params import Params
from inferlab.records import MachineRecord
from inferlab.targets.base import TARGETS


def run(params: Params, root: Path) -> None:
    """Write results/machine.json."""
    machine_here().write(root / "results" / "machine.json")


def machine_here() -> MachineRecord:
    """This machine, with the accelerators that its targets find."""
    accelerators = [device for name in TARGETS for device in TARGETS.get(name)().accelerators()]
    unique = {device.model_dump_json(): device for device in accelerators}
    return describe_machine(list(unique.values()))
