from pathlib import Path

from inferlab.measure.telemetry.throttling import throttle_events


def test_heat_and_quota_are_added(tmp_path: Path) -> None:
    for cpu, count in ((0, 2), (1, 3)):
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{count}\n")
    (tmp_path / "fs/cgroup").mkdir(parents=True)
    (tmp_path / "fs/cgroup/cpu.stat").write_text("usage_usec 1\nnr_periods 9\nnr_throttled 4\n")
    assert throttle_events(tmp_path) == 9


def test_a_machine_without_counters_has_no_events(tmp_path: Path) -> None:
    assert throttle_events(tmp_path) == 0
