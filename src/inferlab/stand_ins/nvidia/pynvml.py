"""A strict stand-in for nvidia-ml-py: the documented functions that inferlab calls, on a driver with one GPU.

It refuses what NVML refuses: calls before init and after the last shutdown, handles of another driver, unknown sensors,
queries that a GPU does not support. Facts: NVML API reference, and the names of nvidia-ml-py 13.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar

__version__ = "13.0.0+fake"

NVML_ERROR_UNINITIALIZED = 1
NVML_ERROR_INVALID_ARGUMENT = 2
NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_GPU_IS_LOST = 15
NVML_CLOCK_SM = 1
NVML_TEMPERATURE_GPU = 0
NVML_FEATURE_DISABLED = 0
NVML_FEATURE_ENABLED = 1
NVML_COMPUTEMODE_DEFAULT = 0
NVML_COMPUTEMODE_PROHIBITED = 2
NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 3
NVML_DEVICE_MIG_DISABLE = 0
NVML_DEVICE_MIG_ENABLE = 1
nvmlClocksEventReasonSwPowerCap = 0x04  # noqa: N816
nvmlClocksEventReasonHwSlowdown = 0x08  # noqa: N816
nvmlClocksEventReasonSwThermalSlowdown = 0x20  # noqa: N816
nvmlClocksEventReasonHwThermalSlowdown = 0x40  # noqa: N816
nvmlClocksEventReasonHwPowerBrakeSlowdown = 0x80  # noqa: N816

INIT_ERROR: int | None = None
"""What the driver answers to nvmlInit, where it is not there."""
COUNT = 1
NAME = "Fake L4"
CAPABILITY = (8, 9)
PROCESSES: dict[int, int | None] = {}
"""Bytes on the GPU by process id."""
ENERGY_MJ: Iterator[int] = repeat(0)
POWER_MW = 70_000
TEMPERATURE_C = 56
REASONS = 0
PERSISTENCE = NVML_FEATURE_ENABLED
COMPUTE_MODE = NVML_COMPUTEMODE_DEFAULT
MIG = NVML_DEVICE_MIG_DISABLE
UNSUPPORTED: set[str] = {"nvmlDeviceGetMigMode"}
"""Functions that this GPU refuses: an L4 cannot be partitioned."""
CALLS: list[str] = []
_open = 0


class NVMLError(Exception):
    """Made with a code, it is an instance of the code's own class."""

    _classes: ClassVar[dict[int, type["NVMLError"]]] = {}
    value: int

    def __new__(cls, value: int) -> "NVMLError":
        made = super().__new__(cls._classes.get(value, cls) if cls is NVMLError else cls)
        made.value = value
        return made

    def __str__(self) -> str:
        texts = {
            NVML_ERROR_UNINITIALIZED: "Uninitialized",
            NVML_ERROR_INVALID_ARGUMENT: "Invalid Argument",
            NVML_ERROR_NOT_SUPPORTED: "Not Supported",
            NVML_ERROR_DRIVER_NOT_LOADED: "Driver Not Loaded",
            NVML_ERROR_LIBRARY_NOT_FOUND: "NVML Shared Library Not Found",
            NVML_ERROR_GPU_IS_LOST: "GPU is lost",
        }
        return texts.get(self.value, f"NVML Error with code {self.value}")


class NVMLError_Uninitialized(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_InvalidArgument(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_GpuIsLost(NVMLError):  # noqa: N801, N818
    pass


NVMLError._classes.update(
    {
        NVML_ERROR_UNINITIALIZED: NVMLError_Uninitialized,
        NVML_ERROR_INVALID_ARGUMENT: NVMLError_InvalidArgument,
        NVML_ERROR_NOT_SUPPORTED: NVMLError_NotSupported,
        NVML_ERROR_DRIVER_NOT_LOADED: NVMLError_DriverNotLoaded,
        NVML_ERROR_LIBRARY_NOT_FOUND: NVMLError_LibraryNotFound,
        NVML_ERROR_GPU_IS_LOST: NVMLError_GpuIsLost,
    }
)


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
    if INIT_ERROR is not None:
        raise NVMLError(INIT_ERROR)
    _open += 1


def nvmlShutdown() -> None:  # noqa: N802
    global _open
    _check("nvmlShutdown")
    _open -= 1


def nvmlDeviceGetCount() -> int:  # noqa: N802
    _check("nvmlDeviceGetCount")
    return COUNT


def nvmlDeviceGetHandleByIndex(index: int) -> _Handle:  # noqa: N802
    _check("nvmlDeviceGetHandleByIndex")
    if not 0 <= index < COUNT:
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    return _Handle(index)


def nvmlDeviceGetName(handle: _Handle) -> str:  # noqa: N802
    _check("nvmlDeviceGetName", handle)
    return NAME


def nvmlDeviceGetCudaComputeCapability(handle: _Handle) -> tuple[int, int]:  # noqa: N802
    _check("nvmlDeviceGetCudaComputeCapability", handle)
    return CAPABILITY


def nvmlDeviceGetComputeMode(handle: _Handle) -> int:  # noqa: N802
    _check("nvmlDeviceGetComputeMode", handle)
    return COMPUTE_MODE


def nvmlDeviceGetPersistenceMode(handle: _Handle) -> int:  # noqa: N802
    _check("nvmlDeviceGetPersistenceMode", handle)
    return PERSISTENCE


def nvmlDeviceGetMigMode(handle: _Handle) -> list[int]:  # noqa: N802
    _check("nvmlDeviceGetMigMode", handle)
    return [MIG, MIG]


def nvmlDeviceGetMemoryInfo(handle: _Handle) -> _Memory:  # noqa: N802
    _check("nvmlDeviceGetMemoryInfo", handle)
    return _Memory()


def nvmlDeviceGetNumGpuCores(handle: _Handle) -> int:  # noqa: N802
    _check("nvmlDeviceGetNumGpuCores", handle)
    return 7424


def nvmlDeviceGetComputeRunningProcesses(handle: _Handle) -> list[_Process]:  # noqa: N802
    _check("nvmlDeviceGetComputeRunningProcesses", handle)
    return [_Process(pid, used) for pid, used in PROCESSES.items()]


def nvmlDeviceGetUtilizationRates(handle: _Handle) -> _Utilization:  # noqa: N802
    _check("nvmlDeviceGetUtilizationRates", handle)
    return _Utilization()


def nvmlDeviceGetPowerUsage(handle: _Handle) -> int:  # noqa: N802
    _check("nvmlDeviceGetPowerUsage", handle)
    return POWER_MW


def nvmlDeviceGetTemperatureV(handle: _Handle, sensor: int) -> int:  # noqa: N802
    _check("nvmlDeviceGetTemperatureV", handle)
    if sensor != NVML_TEMPERATURE_GPU:
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    return TEMPERATURE_C


def nvmlDeviceGetClockInfo(handle: _Handle, kind: int) -> int:  # noqa: N802
    _check("nvmlDeviceGetClockInfo", handle)
    if kind != NVML_CLOCK_SM:
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    return 2040


def nvmlDeviceGetCurrentClocksEventReasons(handle: _Handle) -> int:  # noqa: N802
    _check("nvmlDeviceGetCurrentClocksEventReasons", handle)
    return REASONS


def nvmlDeviceGetTotalEnergyConsumption(handle: _Handle) -> int:  # noqa: N802
    _check("nvmlDeviceGetTotalEnergyConsumption", handle)
    return next(ENERGY_MJ)


def _check(function: str, *handles: Any) -> None:
    CALLS.append(function)
    if _open < 1:
        raise NVMLError(NVML_ERROR_UNINITIALIZED)
    if not all(isinstance(handle, _Handle) and handle.index < COUNT for handle in handles):
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    if function in UNSUPPORTED:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
