"""probe: what machine is this. Always runs, so that results of another machine are never restored from the cache."""

from pathlib import Path

from inferlab.machine import describe_machine
from inferlab.params import Params
from inferlab.targets.base import TARGETS


def run(params: Params, root: Path) -> None:
    """Write results/machine.json."""
    accelerators = [device for name in TARGETS for device in TARGETS.get(name)().accelerators()]
    unique = {device.model_dump_json(): device for device in accelerators}
    describe_machine(list(unique.values())).write(root / "results" / "machine.json")
