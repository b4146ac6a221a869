"""Whether the machine was slowed down: by heat, or by a control group's quota."""

import math
import re
from collections.abc import Iterator
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
        self._begin = math.nan

    def start(self, cores: object) -> Absent | None:
        return NO_COUNTERS if throttle_events(self._root) is None else None

    def begin(self, server_pid: int) -> None:
        self._begin = self._events()

    def end(self, server_pid: int) -> Reading:
        events = self._events() - self._begin
        return {"throttle_events": NO_COUNTERS if math.isnan(events) else events}

    def _events(self) -> float:
        events = throttle_events(self._root)
        return math.nan if events is None else events


def throttle_events(root: Path = ROOT) -> int | None:
    """Thermal and quota throttling events so far, for two readings to be compared; None where none are counted."""
    cores = root.glob("sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count")
    counts = [int(path.read_text(encoding="utf-8")) for path in cores]
    for stat in _quota_files(root):
        found = re.search(r"(?m)^nr_throttled (\d+)", stat.read_text(encoding="utf-8"))
        counts += [int(found.group(1))] if found else []
    return sum(counts) if counts else None


def _quota_files(root: Path) -> Iterator[Path]:
    """cpu.stat of this process's control group and of those around it, each of which can have a quota (cgroups(7))."""
    memberships = root / "proc/self/cgroup"
    if not memberships.is_file():
        return
    for line in memberships.read_text(encoding="utf-8").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controllers
        else:
            continue
        own = mount / group.strip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(mount) and (folder / "cpu.stat").is_file():
                yield folder / "cpu.stat"
