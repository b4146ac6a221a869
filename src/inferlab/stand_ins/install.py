"""Put a device's stand-ins where its engine and its tools are looked for, and take them away again."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

NEURON = Path(__file__).parent / "neuron"
NEURON_STATE = "INFERLAB_FAKE_NEURON"
"""In the environment of what uses the stand-ins: the folder with their devices and the locks of their cores."""
PROGRAMS = ("neuron-ls", "neuron-monitor", "neuron-explorer")
NEURON_VARIABLES = ("NEURON_RT_VISIBLE_CORES", "NEURON_PLATFORM_TARGET_OVERRIDE")


@contextmanager
def fake_neuron(folder: Path, devices: int = 1) -> Iterator[None]:
    """Inferentia2 devices of two cores each, their tools on PATH and torch_neuronx on Python's path.

    `folder` is empty and outlives what runs on the devices. With 0 devices there is the engine alone, as on a machine
    that compiles for another. Processes that are started inside the block see the same.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    environment: dict[str, str | None] = dict.fromkeys((*NEURON_VARIABLES, NEURON_STATE))
    if devices:
        (folder / "devices").write_text(f"{devices}\n", encoding="utf-8")
        for name in PROGRAMS:
            script = NEURON / f"{name.replace('-', '_')}.py"
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
        environment[NEURON_STATE] = str(folder)
        environment["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    before = {name: os.environ.get(name) for name in environment}
    jit = importlib.import_module("torch.jit")
    load = vars(jit)["load"]
    real = sys.modules.pop("torch_neuronx", None)
    sys.path.insert(0, str(NEURON))
    importlib.invalidate_caches()
    try:
        _set(environment)
        yield
    finally:
        sys.path.remove(str(NEURON))
        if fake := sys.modules.pop("torch_neuronx", None):
            vars(fake)["RUNTIME"].end()
        if real is not None:
            sys.modules["torch_neuronx"] = real
        vars(jit)["load"] = load
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


STAND_INS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {"neuron": fake_neuron}
"""By the name that a target gives as its `stand_ins`."""
