"""A driver with one GPU, and a neuron-monitor, neither of which is real."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferlab.stand_ins.install import NEURON
from inferlab.stand_ins.install_nvidia import fake_nvidia


@pytest.fixture
def nvml() -> Iterator[Any]:
    """The fake pynvml, which no other test has used."""
    with fake_nvidia():
        yield importlib.import_module("pynvml")


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
