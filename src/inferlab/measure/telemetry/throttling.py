"""Whether the machine was slowed down: by heat, or by a control group's quota."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource

ROOT = Path("/")
NO_COUNTERS = Absent(
    "neither the processor's thermal events nor those of a CPU quota are counted here; hypervisors hide the former",
    "a machine of one's own, or a control group with the CPU controller",
)


@TELEMETRY.register("throttling")
class Throttling(TelemetrySource):
    """Events of all cores and of the control groups that this process is in."""

    columns = ("throttle_events",)

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._counters: list[Path] = []
        self._begin = 0

    def start(self, cores: Sequence[int]) -> Absent | None:
        self._counters = [path for path in _files(self._root) if _events(path) is not None]
        return None if self._counters else NO_COUNTERS

    def begin(self, server_pid: int | None = None) -> None:
        """They are of the machine, whatever runs on it."""
        self._begin = self._total()

    def end(self, server_pid: int) -> Reading:
        return {"throttle_events": float(self.events())}

    def events(self) -> int:
        """How many there were since `begin`."""
        return self._total() - self._begin

    def _total(self) -> int:
        return sum(_events(path) or 0 for path in self._counters)


def _events(path: Path) -> int | None:
    """A file that is one counter or, of a cpu.stat, the periods in which a quota was used up; None without one."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r"(?m)^nr_throttled (\d+)", text) if path.name == "cpu.stat" else re.match(r"\d+", text)
    return int(found.group().split()[-1]) if found else None


def _files(root: Path) -> Iterator[Path]:
    """Every core's, then cpu.stat of this process's control group and of those around it, each with its own quota.

    See sysfs-devices-system-cpu (thermal_throttle) and cgroups(7), both of its versions.
    """
    yield from sorted(root.glob("sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count"))
    yield from (folder / "cpu.stat" for folder in control_groups(root) if (folder / "cpu.stat").is_file())


def control_groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups that bear on this process's CPU time: its own, then those around it."""
    memberships = root / "proc/self/cgroup"
    if not memberships.is_file():
        return
    for line in memberships.read_text(encoding="utf-8").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        own = mount / group.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mount))
