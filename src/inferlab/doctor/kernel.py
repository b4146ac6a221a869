"""What the kernel's files say of this machine that bears on measurements: clock, neighbours, quota, swap."""

from collections.abc import Sequence
from pathlib import Path

from inferlab.doctor.findings import Condition
from inferlab.measure.telemetry.throttling import control_groups

CPU = "sys/devices/system/cpu"
INSTRUCTIONS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")
LOW_PRECISION = {"int8": {"avx_vnni", "avx512_vnni", "amx_int8"}, "bf16": {"avx512_bf16", "amx_bf16"}}
CHEAP_CLOCKS = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page"}
"""Those that the kernel reads without a system call on x86 (arch/x86: vdso)."""


def kernel_conditions(cores: Sequence[int], root: Path = Path("/")) -> tuple[Condition, ...]:
    """All of this file, for the CPUs `cores`; `root` is where proc and sys are."""
    return (
        instructions(root),
        governor(root, cores),
        boost(root),
        hyperthreads(root),
        hypervisor(root),
        quota(root),
        swap(root),
        clock(root),
    )


def instructions(root: Path) -> Condition:
    """Vector instructions that engines have kernels for."""
    flags = _cpu_flags(root)
    value = ", ".join(name for name in INSTRUCTIONS if name in flags) or "none of AVX2 and later"
    missing = [precision for precision, names in LOW_PRECISION.items() if not names & flags]
    if not missing:
        return Condition(name="instructions", value=value, outcome="good")
    reason = f"this CPU has no instructions for {' and '.join(missing)}, so that engines emulate or refuse them"
    hint = "a CPU with AVX-512 VNNI and BF16, or with AMX"
    return Condition(name="instructions", value=value, outcome="hindrance", reason=reason, hint=hint)


def governor(root: Path, cores: Sequence[int]) -> Condition:
    """Who sets the clock."""
    files = [root / CPU / f"cpu{core}" / "cpufreq" / "scaling_governor" for core in cores]
    found = sorted({text for file in files if (text := _text(file))})
    if not found:
        reason = "the kernel shows no governor; under a hypervisor the clock is its host's affair"
        return Condition(name="governor", value="not visible", outcome="unknown", reason=reason)
    value = ", ".join(found)
    if found == ["performance"]:
        return Condition(name="governor", value=value, outcome="good")
    reason = "the clock follows the load, so that a short block runs at another clock than a long one"
    hint = "sudo cpupower frequency-set -g performance"
    return Condition(name="governor", value=value, outcome="hindrance", reason=reason, hint=hint)


def boost(root: Path) -> Condition:
    """Whether the clock may rise above what the processor can hold."""
    for name, on, off in (("intel_pstate/no_turbo", "0", "1"), ("cpufreq/boost", "1", "0")):
        text = _text(root / CPU / name)
        if text == off:
            return Condition(name="boost", value="off", outcome="good")
        if text == on:
            reason = "the clock depends on heat and on how many cores are busy"
            hint = f"echo {off} | sudo tee /{CPU}/{name}"
            return Condition(name="boost", value="on", outcome="hindrance", reason=reason, hint=hint)
    reason = "the kernel does not show it; under a hypervisor it is the host's affair"
    return Condition(name="boost", value="not visible", outcome="unknown", reason=reason)


def hyperthreads(root: Path) -> Condition:
    """Whether physical cores are shared by several of the kernel's CPUs."""
    active = _text(root / CPU / "smt" / "active")
    if active is None:
        reason = "the kernel does not show it"
        return Condition(name="hyperthreads", value="not visible", outcome="unknown", reason=reason)
    if active == "0":
        return Condition(name="hyperthreads", value="off", outcome="good")
    reason = "we take one thread of each core; what else runs on the other one slows it down"
    hint = f"echo off | sudo tee /{CPU}/smt/control"
    return Condition(name="hyperthreads", value="on", outcome="hindrance", reason=reason, hint=hint)


def hypervisor(root: Path) -> Condition:
    """Whether there are neighbours that this kernel cannot see."""
    if "hypervisor" not in _cpu_flags(root):
        return Condition(name="machine", value="no hypervisor", outcome="good")
    reason = "neighbours share its caches, memory and clock, and counters of energy and heat are hidden"
    hint = "a machine of one's own, such as an EC2 .metal instance or a dedicated host"
    return Condition(name="machine", value="virtual", outcome="hindrance", reason=reason, hint=hint)


def quota(root: Path) -> Condition:
    """CPU time that the control groups of this process may use (cgroups(7), both versions)."""
    granted = [share for folder in control_groups(root) if (share := _quota_cores(folder)) is not None]
    if not granted:
        return Condition(name="CPU quota", value="none", outcome="good")
    reason = "a group that has used up its quota is stopped until the next period, in the middle of a block"
    hint = "whole cores instead of a share of time (docker run --cpuset-cpus instead of --cpus)"
    value = f"{min(granted):g} cores' time"
    return Condition(name="CPU quota", value=value, outcome="hindrance", reason=reason, hint=hint)


def swap(root: Path) -> Condition:
    """Memory that was moved to a disk."""
    sizes = dict(line.split(":", 1) for line in (_text(root / "proc/meminfo") or "").splitlines() if ":" in line)
    if "SwapTotal" not in sizes:
        return Condition(name="swap", value="not visible", outcome="unknown", reason="the kernel does not show it")
    used_mib = (_kib(sizes["SwapTotal"]) - _kib(sizes.get("SwapFree", "0 kB"))) / 1024
    if used_mib <= 0:
        return Condition(name="swap", value="unused", outcome="good")
    reason = "what comes back from the disk in a block counts as the server's time"
    hint = "free memory, then: sudo swapoff --all"
    return Condition(name="swap", value=f"{used_mib:.0f} MiB", outcome="hindrance", reason=reason, hint=hint)


def clock(root: Path) -> Condition:
    """What the kernel reads the time from."""
    folder = "sys/devices/system/clocksource/clocksource0"
    source = _text(root / folder / "current_clocksource")
    if source is None:
        return Condition(name="clock", value="not visible", outcome="unknown", reason="the kernel does not show it")
    if source in CHEAP_CLOCKS:
        return Condition(name="clock", value=source, outcome="good")
    reason = "each look at this clock is a system call"
    able = "tsc" in (_text(root / folder / "available_clocksource") or "").split()
    hint = f"echo tsc | sudo tee /{folder}/current_clocksource" if able else ""
    return Condition(name="clock", value=source, outcome="hindrance", reason=reason, hint=hint)


def _cpu_flags(root: Path) -> set[str]:
    lines = (_text(root / "proc/cpuinfo") or "").splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _quota_cores(folder: Path) -> float | None:
    """Cores' worth of time that a control group may use, or None where it has no limit of its own."""
    limit = _text(folder / "cpu.max")
    if limit is None:
        limit = f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"
    used, _, period = limit.partition(" ")
    return int(used) / int(period) if used.isdecimal() and period.isdecimal() else None


def _kib(amount: str) -> int:
    return int(amount.split()[0])


def _text(path: Path) -> str | None:
    """What is in a file of the kernel, None where there is none or it is not for us."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
