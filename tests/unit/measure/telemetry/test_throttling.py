from pathlib import Path

from inferlab.measure.telemetry.throttling import NO_COUNTERS, Throttling


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def heat(root: Path, cpu: int, count: int) -> None:
    write(root, f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", f"{count}\n")


def test_heat_and_the_quotas_around_this_process_are_added(tmp_path: Path) -> None:
    heat(tmp_path, 0, 2)
    heat(tmp_path, 1, 3)
    write(tmp_path, "proc/self/cgroup", "0::/pod/server\n")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 1\n")  # the root has no quota
    write(tmp_path, "sys/fs/cgroup/pod/cpu.stat", "usage_usec 1\nnr_periods 9\nnr_throttled 4\n")
    write(tmp_path, "sys/fs/cgroup/pod/server/cpu.stat", "usage_usec 1\nnr_periods 9\nnr_throttled 1\n")
    write(tmp_path, "sys/fs/cgroup/other/cpu.stat", "nr_throttled 0\n")
    source = Throttling(tmp_path)
    assert source.start((0,)) is None
    source.begin(1)
    assert source.end(1) == {"throttle_events": 0}
    source.begin(1)
    heat(tmp_path, 1, 13)
    write(tmp_path, "sys/fs/cgroup/pod/cpu.stat", "usage_usec 1\nnr_periods 9\nnr_throttled 6\n")
    write(tmp_path, "sys/fs/cgroup/pod/server/cpu.stat", "usage_usec 1\nnr_periods 9\nnr_throttled 2\n")
    write(tmp_path, "sys/fs/cgroup/other/cpu.stat", "nr_throttled 1000\n")
    assert source.end(1) == {"throttle_events": 10 + 2 + 1}


def test_a_control_group_of_the_first_version_counts(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "9:name=systemd:/\n4:memory:/a\n2:cpu,cpuacct:/\n1:cpuset:/\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 0\nnr_throttled 7\nthrottled_time 0\n")
    source = Throttling(tmp_path)
    assert source.start((0,)) is None
    source.begin(1)
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 0\nnr_throttled 9\nthrottled_time 0\n")
    assert source.end(1) == {"throttle_events": 2}


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    assert Throttling(tmp_path).start((0,)) is NO_COUNTERS
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 1\n")
    assert Throttling(tmp_path).start((0,)) is NO_COUNTERS
