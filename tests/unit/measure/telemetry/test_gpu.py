import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from inferlab.measure.telemetry.base import Absent
from inferlab.measure.telemetry.gpu import NOT_USED, Gpu

OWN = os.getpid()
CORES = tuple(os.sched_getaffinity(0))


@pytest.fixture
def gpu(nvml: Any) -> Any:
    """A started source; this process and a stranger are on its GPU."""
    nvml.PROCESSES.update({OWN: 300 * 2**20, 1: 5 * 2**30})
    source = Gpu()
    assert source.start(CORES) is None
    yield source
    source.stop()
    assert nvml._open == 0


def block(source: Gpu) -> Any:
    """A measured part that lasts until the GPU was sampled."""
    source.begin(OWN)
    assert source._sampler is not None
    for _ in range(500):
        if "nvmlDeviceGetCurrentClocksEventReasons" in source._nvml.CALLS:
            break
        threading.Event().wait(0.01)
    return source.end(OWN)


def test_every_quantity_of_the_servers_gpu(gpu: Gpu, nvml: Any) -> None:
    nvml.ENERGY_MJ = iter([1_000_000, 1_034_500])
    nvml.REASONS = nvml.nvmlClocksEventReasonSwPowerCap
    assert block(gpu) == {
        "accelerator_utilization_percent": 61,
        "accelerator_memory_mib": 300,  # of this process alone
        "accelerator_power_w": 70,
        "accelerator_clock_mhz": 2040,
        "accelerator_throttled_by_heat_percent": 0,
        "accelerator_throttled_by_power_percent": 100,
        "accelerator_energy_j": pytest.approx(34.5),
        "accelerator_temperature_c": 56,
        "accelerator_other_processes": 1,  # not started by this process
        "accelerator_persistence_mode": 1,
        "accelerator_exclusive_mode": 0,
        "accelerator_mig_mode": Absent("NVML: Not Supported"),  # this GPU cannot be partitioned
    }
    assert gpu.provenance() == "fake"


def test_processes_that_this_one_started_are_no_others(gpu: Gpu, nvml: Any) -> None:
    """The servers of a study share the GPU; those that are not loaded are paused."""
    del nvml.PROCESSES[1]
    server = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        nvml.PROCESSES[server.pid] = 2**20
        assert block(gpu)["accelerator_other_processes"] == 0
    finally:
        server.communicate()


def test_modes_of_the_gpu_are_stated(gpu: Gpu, nvml: Any) -> None:
    nvml.PERSISTENCE = nvml.NVML_FEATURE_DISABLED
    nvml.COMPUTE_MODE = nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
    nvml.UNSUPPORTED = set()
    nvml.MIG = nvml.NVML_DEVICE_MIG_ENABLE
    reading = block(gpu)
    assert reading["accelerator_persistence_mode"] == 0
    assert reading["accelerator_exclusive_mode"] == reading["accelerator_mig_mode"] == 1


def test_heat_is_told_from_power(gpu: Gpu, nvml: Any) -> None:
    nvml.REASONS = nvml.nvmlClocksEventReasonHwThermalSlowdown | nvml.nvmlClocksEventReasonHwSlowdown
    reading = block(gpu)
    assert reading["accelerator_throttled_by_heat_percent"] == 100
    assert reading["accelerator_throttled_by_power_percent"] == 0


def test_without_an_energy_counter_power_times_time_is_the_energy(
    gpu: Gpu, nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.UNSUPPORTED = {"nvmlDeviceGetTotalEnergyConsumption"}
    clock = iter([100.0, 102.0])
    monkeypatch.setattr("inferlab.measure.telemetry.gpu.time.monotonic", lambda: next(clock))
    assert block(gpu)["accelerator_energy_j"] == pytest.approx(140)


def test_what_the_gpu_refuses_is_absent_and_asked_once_a_block(gpu: Gpu, nvml: Any) -> None:
    refused = "nvmlDeviceGetPowerUsage"
    nvml.UNSUPPORTED = {refused, "nvmlDeviceGetTotalEnergyConsumption"}
    reading = block(gpu)
    assert reading["accelerator_power_w"] == reading["accelerator_energy_j"] == Absent("NVML: Not Supported")
    assert reading["accelerator_utilization_percent"] == 61
    assert nvml.CALLS.count(refused) == 1


def test_memory_that_the_driver_does_not_tell_is_absent(gpu: Gpu, nvml: Any) -> None:
    nvml.PROCESSES[OWN] = None
    assert block(gpu)["accelerator_memory_mib"] == Absent("NVML: Not Supported")


def test_a_server_that_is_on_no_gpu_uses_none(gpu: Gpu, nvml: Any) -> None:
    del nvml.PROCESSES[OWN]
    gpu.begin(OWN)
    assert gpu.end(OWN) == dict.fromkeys(Gpu.columns, NOT_USED)


def test_a_block_that_breaks_off_leaves_no_thread(nvml: Any) -> None:
    nvml.PROCESSES[OWN] = 1
    source = Gpu()
    source.start(CORES)
    source.begin(OWN)
    source.stop()
    assert "GPU telemetry" not in [thread.name for thread in threading.enumerate()]
    assert nvml._open == 0


def test_without_gpus_the_reason_says_how_to_get_one(nvml: Any) -> None:
    nvml.COUNT = 0
    absent = Gpu().start(CORES)
    assert absent is not None
    assert str(absent).startswith("the NVIDIA driver finds no GPU (how to get it: run on a machine with an NVIDIA GPU")
    assert nvml._open == 0


def test_a_gpu_that_is_lost_is_absent(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(index: int) -> None:
        raise nvml.NVMLError(15)

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", lost)
    source = Gpu()
    absent = source.start(CORES)
    source.stop()
    assert absent is not None
    assert absent.reason == "NVML: GPU is lost"
    assert nvml._open == 0
