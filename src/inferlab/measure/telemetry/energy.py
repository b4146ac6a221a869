"""Energy of the CPU packages, by RAPL (Linux: Documentation/power/powercap/powercap.rst).

AMD's processors are under the same path. A counter is of a whole package, so of everything that runs on it, idle cores
included.
"""

from pathlib import Path

from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource

POWERCAP = Path("/sys/class/powercap")
UJ_PER_J = 1e6

NO_COUNTERS = Absent(
    "no RAPL energy counters of CPU packages; hypervisors hide them",
    "a machine of one's own, such as an EC2 .metal instance, with the kernel module intel_rapl_msr",
)
NOT_READABLE = Absent(
    "only root may read the RAPL energy counters (since CVE-2020-8694, Linux 5.10)",
    "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj, where everybody on the machine is trusted",
)


@TELEMETRY.register("energy")
class CpuEnergy(TelemetrySource):
    """Counters in µJ of all packages, and not of their subdomains, which the packages contain."""

    columns = ("energy_j",)

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._powercap = powercap
        self._packages: list[Path] = []
        self._begin_uj: list[int] | None = None

    def start(self, cores: object) -> Absent | None:
        # A zone with one colon is a top one, which can also be the whole platform (psys); intel-rapl-mmio repeats them.
        zones = sorted(zone for zone in self._powercap.glob("intel-rapl:*") if zone.name.count(":") == 1)
        self._packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
        if not self._packages:
            return NO_COUNTERS
        return NOT_READABLE if self._read() is None else None

    def begin(self, server_pid: int) -> None:
        self._begin_uj = self._read()

    def end(self, server_pid: int) -> Reading:
        begin_uj, end_uj = self._begin_uj, self._read()
        if begin_uj is None or end_uj is None:
            return {"energy_j": NOT_READABLE}
        counted = zip(self._packages, begin_uj, end_uj, strict=True)
        return {"energy_j": sum(_used_uj(*package) for package in counted) / UJ_PER_J}

    def _read(self) -> list[int] | None:
        try:
            return [int(_text(package / "energy_uj")) for package in self._packages]
        except (OSError, ValueError):
            return None


def _used_uj(package: Path, begin_uj: int, end_uj: int) -> int:
    """A counter starts again at 0 after its largest value: minutes at full power, so once in a block at most."""
    used_uj = end_uj - begin_uj
    return used_uj if used_uj >= 0 else used_uj + int(_text(package / "max_energy_range_uj"))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
