from pathlib import Path

import pytest

from inferlab.measure.telemetry.base import Absent
from inferlab.measure.telemetry.energy import NO_COUNTERS, NOT_READABLE, CpuEnergy

RANGE_UJ = 65_532_610_987


def zone(powercap: Path, folder: str, name: str, energy_uj: int) -> Path:
    """A zone as in sysfs; gives the file of its counter."""
    path = powercap / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


@pytest.fixture
def counters(tmp_path: Path) -> list[Path]:
    """Two packages; a subdomain, the whole platform and a second way to a package, which must not be counted."""
    (tmp_path / "intel-rapl").mkdir()  # the control type itself
    found = [zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000), zone(tmp_path, "intel-rapl:1", "package-1", 5)]
    found.append(zone(tmp_path, "intel-rapl:0:0", "core", 0))
    found.append(zone(tmp_path, "intel-rapl:2", "psys", 0))
    found.append(zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0))
    return found


def used(source: CpuEnergy, counters: list[Path], values: list[int]) -> float | Absent:
    source.begin(1)
    for counter, value in zip(counters, values, strict=True):
        counter.write_text(f"{value}\n")
    return source.end(1)["energy_j"]


def test_packages_are_added_and_nothing_else(tmp_path: Path, counters: list[Path]) -> None:
    source = CpuEnergy(tmp_path)
    assert source.start(()) is None
    joules = used(source, counters, [3_500_000, 500_005, 9**9, 9**9, 9**9])
    assert joules == pytest.approx(2.5 + 0.5)


def test_a_counter_that_starts_again_loses_nothing(tmp_path: Path, counters: list[Path]) -> None:
    source = CpuEnergy(tmp_path)
    counters[1].write_text(f"{RANGE_UJ - 400_000}\n")
    source.start(())
    assert used(source, counters, [1_000_000, 600_000, 0, 0, 0]) == pytest.approx(1.0)


def test_a_counter_that_may_not_be_read_says_how_it_may(tmp_path: Path, counters: list[Path]) -> None:
    counters[1].unlink()
    counters[1].mkdir()  # root may read every file, but no folder as one
    source = CpuEnergy(tmp_path)
    assert source.start(()) is NOT_READABLE
    assert "chmod a+r" in str(NOT_READABLE)
    source.begin(1)
    assert source.end(1) == {"energy_j": NOT_READABLE}


def test_a_counter_that_goes_away_meanwhile_is_absent(tmp_path: Path, counters: list[Path]) -> None:
    source = CpuEnergy(tmp_path)
    source.start(())
    source.begin(1)
    counters[0].unlink()
    assert source.end(1) == {"energy_j": NOT_READABLE}


def test_a_machine_without_packages_has_no_counters(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "psys", 0)
    assert CpuEnergy(tmp_path).start(()) is NO_COUNTERS
    assert CpuEnergy(tmp_path / "nothing").start(()) is NO_COUNTERS
