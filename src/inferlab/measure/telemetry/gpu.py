"""What a server uses of NVIDIA GPUs, by NVML (nvidia-ml-py; NVML API reference, Device Queries).

NVML counts energy; the rest is sampled by a thread of the measuring process. Of the machine's GPUs those count on which
NVML lists a process of the server.
"""

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource
from inferlab.processes import pin_thread, process_tree
from inferlab.records import Provenance
from inferlab.targets.base import owned
from inferlab.targets.nvidia_gpu import GPU_HINT, count_devices

SAMPLE_EVERY_S = 0.1
MIB = 2**20
MJ_PER_J = MW_PER_W = 1e3

NOT_USED = Absent(
    "NVML lists no process of this server on a GPU",
    "a target on the GPU; in a container share the host's process ids (docker run --pid=host)",
)


@TELEMETRY.register("gpu")
class Gpu(TelemetrySource):
    """Means over the samples of a block. Power, memory and energy are sums over GPUs.

    Memory, temperature and processes of others are the largest sample. Modes are 1 where any of the GPUs is in them.
    """

    columns = (
        "accelerator_utilization_percent",
        "accelerator_memory_mib",
        "accelerator_power_w",
        "accelerator_clock_mhz",
        "accelerator_temperature_c",
        "accelerator_throttled_by_heat_percent",
        "accelerator_throttled_by_power_percent",
        "accelerator_energy_j",
        "accelerator_other_processes",
        "accelerator_persistence_mode",
        "accelerator_exclusive_mode",
        "accelerator_mig_mode",
    )
    largest: ClassVar[frozenset[str]] = frozenset(
        {"accelerator_memory_mib", "accelerator_temperature_c", "accelerator_other_processes"}
    )

    def __init__(self) -> None:
        self._nvml: Any = None
        self._gpus: list[Any] = []
        self._cores: tuple[int, ...] = ()
        self._sampler: _Sampler | None = None

    def start(self, cores: Sequence[int]) -> Absent | None:
        count, problem = count_devices()
        if problem or not count:
            return Absent(problem or "the NVIDIA driver finds no GPU", GPU_HINT)
        import pynvml

        pynvml.nvmlInit()
        self._nvml, self._cores = pynvml, tuple(cores)
        try:
            self._gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except pynvml.NVMLError as error:
            return Absent(f"NVML: {error}", GPU_HINT)
        return None

    def begin(self, server_pid: int) -> None:
        tree = set(process_tree(server_pid))
        used = [gpu for gpu in self._gpus if tree & self._processes(gpu)]
        self._sampler = _Sampler(self._nvml, used, tree, self._cores) if used else None

    def end(self, server_pid: int) -> Reading:
        sampler, self._sampler = self._sampler, None
        return self.all_absent(NOT_USED) if sampler is None else sampler.stop()

    def stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def provenance(self) -> Provenance:
        return "hardware" if owned("pynvml", "nvidia-ml-py") else "fake"

    def _processes(self, gpu: Any) -> set[int]:
        with contextlib.suppress(self._nvml.NVMLError):
            return {process.pid for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(gpu)}
        return set()


class _Sampler:
    """Samples GPUs from its making until it is stopped."""

    def __init__(self, nvml: Any, gpus: list[Any], tree: set[int], cores: tuple[int, ...]) -> None:
        self._nvml, self._gpus, self._tree, self._cores = nvml, gpus, tree, cores
        self._own = set(tree)
        self._samples: defaultdict[str, list[float]] = defaultdict(list)
        self._failed: dict[str, Absent] = {}
        self._stopped = threading.Event()
        for column, ask in self._modes().items():
            value = self._asked(column, ask)
            if value is not None:
                self._samples[column].append(value)
        self._begin_s = time.monotonic()
        self._begin_j = self._asked("accelerator_energy_j", self._energy_j)
        self._thread = threading.Thread(target=self._run, name="GPU telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> Reading:
        """End sampling and give what was found."""
        end_j, wall_s = self._asked("accelerator_energy_j", self._energy_j), time.monotonic() - self._begin_s
        self._stopped.set()
        self._thread.join()
        reading: Reading = {}
        for column in Gpu.columns:
            values = self._samples[column]
            if column in self._failed or not values:
                reading[column] = self._failed.get(column, Absent("NVML gave no sample"))
            elif column in Gpu.largest:
                reading[column] = max(values)
            else:
                reading[column] = sum(values) / len(values)
        power_w = reading["accelerator_power_w"]
        if self._begin_j is not None and end_j is not None:
            reading["accelerator_energy_j"] = end_j - self._begin_j
        elif not isinstance(power_w, Absent):  # GPUs before Volta do not count energy
            reading["accelerator_energy_j"] = power_w * wall_s
        return reading

    def _run(self) -> None:
        pin_thread(threading.get_native_id(), self._cores)
        quantities: dict[str, Callable[[], float]] = {
            "accelerator_utilization_percent": lambda: self._mean(
                lambda gpu: self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu
            ),
            "accelerator_memory_mib": self._memory_mib,
            "accelerator_power_w": lambda: sum(map(self._nvml.nvmlDeviceGetPowerUsage, self._gpus)) / MW_PER_W,
            "accelerator_clock_mhz": lambda: self._mean(
                lambda gpu: self._nvml.nvmlDeviceGetClockInfo(gpu, self._nvml.NVML_CLOCK_SM)
            ),
            "accelerator_temperature_c": lambda: max(
                float(self._nvml.nvmlDeviceGetTemperatureV(gpu, self._nvml.NVML_TEMPERATURE_GPU)) for gpu in self._gpus
            ),
            "accelerator_other_processes": self._other_processes,
            "accelerator_throttled_by_heat_percent": lambda: self._throttled_percent(
                self._nvml.nvmlClocksEventReasonHwThermalSlowdown | self._nvml.nvmlClocksEventReasonSwThermalSlowdown
            ),
            "accelerator_throttled_by_power_percent": lambda: self._throttled_percent(
                self._nvml.nvmlClocksEventReasonSwPowerCap | self._nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
            ),
        }
        while True:
            for column, ask in quantities.items():
                value = self._asked(column, ask)
                if value is not None:
                    self._samples[column].append(value)
            if self._stopped.wait(SAMPLE_EVERY_S):
                return

    def _asked(self, column: str, ask: Callable[[], float]) -> float | None:
        """A value, or None where NVML refuses it; it is not asked again then."""
        if column in self._failed:
            return None
        try:
            return ask()
        except self._nvml.NVMLError as error:
            self._failed[column] = Absent(f"NVML: {error}")
            return None

    def _mean(self, ask: Callable[[Any], float]) -> float:
        return sum(float(ask(gpu)) for gpu in self._gpus) / len(self._gpus)

    def _modes(self) -> dict[str, Callable[[], float]]:
        nvml = self._nvml
        return {
            "accelerator_persistence_mode": lambda: self._any(
                lambda gpu: nvml.nvmlDeviceGetPersistenceMode(gpu) == nvml.NVML_FEATURE_ENABLED
            ),
            "accelerator_exclusive_mode": lambda: self._any(
                lambda gpu: nvml.nvmlDeviceGetComputeMode(gpu) == nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
            ),
            "accelerator_mig_mode": lambda: self._any(
                lambda gpu: nvml.nvmlDeviceGetMigMode(gpu)[0] == nvml.NVML_DEVICE_MIG_ENABLE
            ),
        }

    def _any(self, ask: Callable[[Any], bool]) -> float:
        return float(any(ask(gpu) for gpu in self._gpus))

    def _other_processes(self) -> float:
        """Processes with a context for computing that this process has not started; it has started every server."""
        found = {process.pid for gpu in self._gpus for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(gpu)}
        if found - self._own:
            self._own = set(process_tree(os.getpid()))
        return float(len(found - self._own))

    def _memory_mib(self) -> float:
        """Of the server's processes alone: those of other configurations are paused, and keep their memory."""
        processes = [each for gpu in self._gpus for each in self._nvml.nvmlDeviceGetComputeRunningProcesses(gpu)]
        used = [process.usedGpuMemory for process in processes if process.pid in self._tree]
        if any(each is None for each in used):
            raise self._nvml.NVMLError(self._nvml.NVML_ERROR_NOT_SUPPORTED)
        return float(sum(used)) / MIB

    def _throttled_percent(self, reasons: int) -> float:
        return 100 * self._mean(lambda gpu: bool(self._nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu) & reasons))

    def _energy_j(self) -> float:
        return float(sum(map(self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._gpus))) / MJ_PER_J
