"""Put the stand-ins for NVIDIA's Python packages where they are looked for, and take them away again."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NVIDIA = Path(__file__).parent / "nvidia"
MODULES = ("pynvml", "tensorrt")


@contextmanager
def fake_nvidia() -> Iterator[None]:
    """A driver with one GPU: pynvml and tensorrt on Python's path, imported anew, in this process alone.

    CUDA itself has no stand-in here: torch computes on a GPU or not at all.
    """
    real = {name: sys.modules.pop(name, None) for name in MODULES}
    sys.path.insert(0, str(NVIDIA))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(NVIDIA))
        for name, module in real.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
