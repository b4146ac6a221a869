import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from inferlab.stand_ins.install_nvidia import fake_nvidia
from inferlab.targets.base import owned


@pytest.fixture
def nvml() -> Iterator[Any]:
    with fake_nvidia():
        yield importlib.import_module("pynvml")


def test_calls_before_init_and_after_the_last_shutdown_are_refused(nvml: Any) -> None:
    with pytest.raises(nvml.NVMLError_Uninitialized, match="Uninitialized"):
        nvml.nvmlDeviceGetCount()
    nvml.nvmlInit()
    nvml.nvmlInit()
    nvml.nvmlShutdown()
    assert nvml.nvmlDeviceGetCount() == 1
    nvml.nvmlShutdown()
    with pytest.raises(nvml.NVMLError_Uninitialized):
        nvml.nvmlShutdown()


def test_handles_and_sensors_that_nvml_does_not_know_are_refused(nvml: Any) -> None:
    nvml.nvmlInit()
    handle = nvml.nvmlDeviceGetHandleByIndex(0)
    for call in (
        lambda: nvml.nvmlDeviceGetHandleByIndex(1),
        lambda: nvml.nvmlDeviceGetName(0),
        lambda: nvml.nvmlDeviceGetClockInfo(handle, 99),
        lambda: nvml.nvmlDeviceGetTemperatureV(handle, 99),
    ):
        with pytest.raises(nvml.NVMLError_InvalidArgument):
            call()
    nvml.nvmlShutdown()


def test_a_code_makes_an_error_of_its_own_class(nvml: Any) -> None:
    assert type(nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)) is nvml.NVMLError_NotSupported
    assert nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED).value == nvml.NVML_ERROR_NOT_SUPPORTED
    assert str(nvml.NVMLError(999)) == "NVML Error with code 999"


def test_the_names_are_those_of_the_real_binding(nvml: Any) -> None:
    fake = {name: value for name, value in vars(nvml).items() if name.startswith(("nvml", "NVML_"))}
    sys.modules.pop("pynvml")
    path = [each for each in sys.path if not each.endswith("stand_ins/nvidia")]
    before, sys.path = sys.path, path
    try:
        real = importlib.import_module("pynvml")
    finally:
        sys.path = before
    assert real.__file__ != nvml.__file__
    for name, value in fake.items():
        assert hasattr(real, name), name
        if not callable(value):
            assert getattr(real, name) == value, name


def test_what_it_answers_is_not_owned_by_the_binding(nvml: Any) -> None:
    assert not owned("pynvml", "nvidia-ml-py")
