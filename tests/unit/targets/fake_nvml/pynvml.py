"""The part of nvidia-ml-py that the target calls, with one GPU. Calls outside init and shutdown fail, as in NVML."""

NVML_ERROR_UNINITIALIZED = 1
NVML_ERROR_LIBRARY_NOT_FOUND = 12
COUNT = 1
_open = 0


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class _Memory:
    total = 24 * 2**30


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


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    _check()
    if index >= COUNT:
        raise NVMLError(2)
    return index


def nvmlDeviceGetName(handle: int) -> str:  # noqa: N802
    _check()
    return "Fake L4"


def nvmlDeviceGetMemoryInfo(handle: int) -> _Memory:  # noqa: N802
    _check()
    return _Memory()


def nvmlDeviceGetNumGpuCores(handle: int) -> int:  # noqa: N802
    _check()
    return 7424


def _check() -> None:
    if _open < 1:
        raise NVMLError(NVML_ERROR_UNINITIALIZED)
