"""Which low-precision instructions a CPU has: what engines there can be asked for, and how they must be asked."""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

NO_FP16 = (
    "fp16 is not built in for CPUs: without AVX512-FP16 one matrix product of 2048 x 2048 ran below 0.5 GFLOP/s in "
    "PyTorch and held the process for minutes; bf16 is the 16-bit format that CPUs multiply fast"
)
"""Why every CPU target refuses fp16, before anything is built or run."""


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The instruction sets that the kernel names in the text of /proc/cpuinfo; none on CPUs other than x86."""
    return frozenset(flag for line in cpuinfo.splitlines() if line.startswith("flags") for flag in line.split()[2:])


def flags_here() -> frozenset[str]:
    """The instruction sets of this machine's CPU."""
    return cpu_flags(CPU_INFO.read_text(encoding="utf-8"))


def has_vnni(flags: frozenset[str]) -> bool:
    """Whether the CPU adds products of 8-bit numbers in 32 bits; without it they overflow in 16."""
    return bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})


def has_bf16(flags: frozenset[str]) -> bool:
    """Whether the CPU multiplies bf16; without it engines convert to fp32 and back, which only costs time."""
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def has_bf16_tiles(flags: frozenset[str]) -> bool:
    """Whether oneDNN, once it may round fp32 factors to bf16, does so: it has AMX tiles to multiply them in."""
    return "amx_bf16" in flags
