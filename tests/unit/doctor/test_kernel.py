from pathlib import Path

import pytest

from inferlab.doctor.findings import Condition
from inferlab.doctor.kernel import kernel_conditions

CPU = "sys/devices/system/cpu"
ZEN5 = "flags\t\t: fpu avx2 avx512f avx_vnni avx512_bf16 avx512_vnni hypervisor\n"


def conditions(root: Path, files: dict[str, str]) -> dict[str, Condition]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return {one.name: one for one in kernel_conditions((0, 1), root)}


def test_a_kernel_that_shows_nothing_is_no_error(tmp_path: Path) -> None:
    found = conditions(tmp_path, {})
    unknown = {name for name, one in found.items() if one.outcome == "unknown"}
    assert unknown == {"governor", "boost", "hyperthreads", "swap", "clock"}
    assert all(found[name].reason for name in unknown)


def test_a_machine_at_its_best_has_no_hindrance(tmp_path: Path) -> None:
    governors = {f"{CPU}/cpu{core}/cpufreq/scaling_governor": "performance\n" for core in (0, 1)}
    files = {
        "proc/cpuinfo": ZEN5.replace(" hypervisor", ""),
        "proc/meminfo": "MemTotal: 10 kB\nSwapTotal:    2048 kB\nSwapFree:     2048 kB\n",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 1\n",
        f"{CPU}/intel_pstate/no_turbo": "1\n",
        f"{CPU}/smt/active": "0\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        **governors,
    }
    assert {one.outcome for one in conditions(tmp_path, files).values()} == {"good"}


@pytest.mark.parametrize(
    ("files", "name", "value", "hint"),
    [
        ({"proc/cpuinfo": ZEN5}, "machine", "virtual", ".metal"),
        ({"proc/cpuinfo": "flags\t: fpu avx2\n"}, "instructions", "avx2", "AMX"),
        ({f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"}, "governor", "powersave", "cpupower"),
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, "boost", "on", f"echo 1 | sudo tee /{CPU}/intel_pstate/no_turbo"),
        ({f"{CPU}/cpufreq/boost": "1"}, "boost", "on", f"echo 0 | sudo tee /{CPU}/cpufreq/boost"),
        ({f"{CPU}/smt/active": "1"}, "hyperthreads", "on", "smt/control"),
        ({"proc/meminfo": "SwapTotal: 4096 kB\nSwapFree: 1024 kB\n"}, "swap", "3 MiB", "swapoff"),
    ],
)
def test_what_hinders_says_why_and_what_to_do(
    tmp_path: Path, files: dict[str, str], name: str, value: str, hint: str
) -> None:
    found = conditions(tmp_path, files)[name]
    assert (found.outcome, found.value) == ("hindrance", value)
    assert found.reason
    assert hint in found.hint


def test_instructions_that_are_missing_are_named(tmp_path: Path) -> None:
    found = conditions(tmp_path, {"proc/cpuinfo": "flags\t: avx2 avx_vnni\n"})["instructions"]
    assert "no instructions for bf16," in found.reason
    assert found.value == "avx2, avx_vnni"


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/pod/server\n", {"pod/cpu.max": "150000 100000", "pod/server/cpu.max": "max 100000"}),
        (
            "2:cpu,cpuacct:/server\n",
            {
                "cpu,cpuacct/server/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/server/cpu.cfs_period_us": "200000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
        ),
    ],
)
def test_the_tightest_quota_around_this_process_counts(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    placed = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    found = conditions(tmp_path, {"proc/self/cgroup": membership, **placed})["CPU quota"]
    assert (found.outcome, found.value) == ("hindrance", "1.5 cores' time")


def test_a_slow_clock_has_a_hint_only_where_there_is_a_better_one(tmp_path: Path) -> None:
    folder = "sys/devices/system/clocksource/clocksource0"
    found = conditions(tmp_path, {f"{folder}/current_clocksource": "xen\n"})["clock"]
    assert (found.outcome, found.hint) == ("hindrance", "")
    found = conditions(tmp_path, {f"{folder}/available_clocksource": "xen tsc\n"})["clock"]
    assert found.hint == f"echo tsc | sudo tee /{folder}/current_clocksource"
