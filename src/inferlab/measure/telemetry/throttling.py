"""Whether the machine was slowed down: by heat, or by a control group's quota."""

import re
from pathlib import Path

SYSTEM = Path("/sys")


def throttle_events(system: Path = SYSTEM) -> int:
    """Thermal and quota throttling events so far; compare two readings. Counters that are absent count as none."""
    total = 0
    for path in system.glob("devices/system/cpu/cpu*/thermal_throttle/core_throttle_count"):
        total += int(path.read_text(encoding="utf-8"))
    stat = system / "fs" / "cgroup" / "cpu.stat"
    if stat.is_file():
        found = re.search(r"(?m)^nr_throttled (\d+)", stat.read_text(encoding="utf-8"))
        total += int(found.group(1)) if found else 0
    return total
