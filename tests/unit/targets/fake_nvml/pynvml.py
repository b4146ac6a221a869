"""The part of nvidia-ml-py that inferlab calls, with one GPU. Calls outside init and shutdown fail, as in NVML.

Handles are of this driver alone, and what the GPU does not know it refuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

NVML_ERROR_UNINITIALIZED = 1
NVML_ERROR_INVALID_ARGUMENT = 2
NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_CLOCK_SM = 1
nvmlClocksEventReasonSwPowerCap = 0x04  # noqa: N816
nvmlClocksEventReasonHwSlowdown = 0x08  # noqa: N816
nvmlClocksEventReasonSwThermalSlowdown = 0x20  # noqa: N816
nvmlClocksEventReasonHwThermalSlowdown = 0x40  # noqa: N816
nvmlClocksEventReasonHwPowerBrakeSlowdown = 0x80  # noqa: N816
COUNT = 1
PROCESSES: dict[int, int | None] = {}
"""Bytes on the GPU by process id."""
ENERGY_MJ: Iterator[int] = repeat(0)
POWER_MW = 70_000
REASONS = 0
UNSUPPORTED: set[str] = set()
"""Functions that this GPU refuses."""
CALLS: list[str] = []
_open = 0


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__({NVML_ERROR_NOT_SUPPORTED: "Not Supported"}.get(value, value))
        self.value = value


@dataclass(frozen=True)
class _Handle:
    index: int


@dataclass(frozen=True)
class _Process:
    pid: int
    usedGpuMemory: int | None  # noqa: N815


class _Memory:
    total = 24 * 2**30


class _Utilization:
    gpu = 61
    memory = 20


def nvmlInit() -> None:  # noqa: N802
    global _open
    _open += 1


def nvmlShutdown() -> None:  # noqa: N802
    global _open
    _check()
    _open -= 1


def nvmlDeviceGetCount() -> int:  # noqa: N802
    _check()
    return COUNT


def nvmlDeviceGetHandleByIndex(index: int) -> _Handle:  # noqa: N802
    _check()
    if index >= COUNT:
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    return _Handle(index)


def nvmlDeviceGetName(handle: _Handle) -> str:  # noqa: N802
    _check(handle)
    return "Fake L4"


def nvmlDeviceGetMemoryInfo(handle: _Handle) -> _Memory:  # noqa: N802
    _check(handle)
    return _Memory()


def nvmlDeviceGetNumGpuCores(handle: _Handle) -> int:  # noqa: N802
    _check(handle)
    return 7424


def nvmlDeviceGetComputeRunningProcesses(handle: _Handle) -> list[_Process]:  # noqa: N802
    _check(handle, function="nvmlDeviceGetComputeRunningProcesses")
    return [_Process(pid, used) for pid, used in PROCESSES.items()]


def nvmlDeviceGetUtilizationRates(handle: _Handle) -> _Utilization:  # noqa: N802
    _check(handle, function="nvmlDeviceGetUtilizationRates")
    return _Utilization()


def nvmlDeviceGetPowerUsage(handle: _Handle) -> int:  # noqa: N802
    _check(handle, function="nvmlDeviceGetPowerUsage")
    return POWER_MW


def nvmlDeviceGetClockInfo(handle: _Handle, kind: int) -> int:  # noqa: N802
    _check(handle, function="nvmlDeviceGetClockInfo")
    if kind != NVML_CLOCK_SM:
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    return 2040


def nvmlDeviceGetCurrentClocksEventReasons(handle: _Handle) -> int:  # noqa: N802
    _check(handle, function="nvmlDeviceGetCurrentClocksEventReasons")
    return REASONS


def nvmlDeviceGetTotalEnergyConsumption(handle: _Handle) -> int:  # noqa: N802
    _check(handle, function="nvmlDeviceGetTotalEnergyConsumption")
    return next(ENERGY_MJ)


def _check(*handles: Any, function: str = "") -> None:
    CALLS.append(function)
    if _open < 1:
        raise NVMLError(NVML_ERROR_UNINITIALIZED)
    if not all(isinstance(handle, _Handle) and handle.index < COUNT for handle in handles):
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    if function in UNSUPPORTED:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
