"""A driver with one GPU, and a neuron-monitor, neither of which is real."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferlab.stand_ins.install import NEURON

FAKE_NVML = Path(__file__).parents[2] / "targets" / "fake_nvml"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The fake pynvml, which no other test has used."""
    monkeypatch.syspath_prepend(FAKE_NVML)
    real = sys.modules.pop("pynvml", None)
    import pynvml

    yield pynvml
    sys.modules.pop("pynvml", None)
    if real is not None:
        sys.modules["pynvml"] = real


@pytest.fixture
def neuron_monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A program neuron-monitor on PATH; FAKE_NEURON says what it does wrong, FAKE_NEURON_PID whom it reports."""
    program = tmp_path / "bin" / "neuron-monitor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {NEURON / "neuron_monitor.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr("inferlab.measure.telemetry.neuron.PERIOD_MS", 20)
    return monkeypatch
