"""Which Neuron devices are here, as neuron-ls lists them (AWS Neuron SDK, neuron-ls user guide)."""

import re
import shutil
import subprocess
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, ValidationError

from inferlab.errors import UserError
from inferlab.processes import ranges_of

NEURON_LS_TIMEOUT_S = 20.0
CORES_VARIABLE = "NEURON_RT_VISIBLE_CORES"
"""An index or an inclusive range; the runtime of a process reads it once."""


class NeuronDevice(BaseModel):
    """One device. Lenient: releases of the tools differ in what else they list."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    neuron_device: int
    nc_count: PositiveInt
    """NeuronCores on it."""
    memory_size: PositiveInt
    """In bytes."""


def neuron_devices() -> tuple[tuple[NeuronDevice, ...], str]:
    """The devices, or none and why."""
    program = shutil.which("neuron-ls")
    if program is None:
        return (), "no AWS Neuron tools: neuron-ls is not on PATH"
    try:
        listed = subprocess.run(
            [program, "--json-output"], capture_output=True, text=True, timeout=NEURON_LS_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return (), f"neuron-ls did not answer within {NEURON_LS_TIMEOUT_S:.0f} s"
    except OSError as error:
        return (), f"neuron-ls cannot be started: {error}"
    if listed.returncode != 0:
        return (), f"neuron-ls failed: {listed.stderr.strip() or listed.stdout.strip()}"
    try:
        devices = TypeAdapter(tuple[NeuronDevice, ...]).validate_json(listed.stdout)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        return (), f"neuron-ls gave no list of devices: {where}: {first['msg']}"
    return devices, "" if devices else "neuron-ls lists no Neuron device"


def visible_cores(cores: Sequence[int]) -> dict[str, str]:
    """The environment of a process that has these NeuronCores.

    Raises UserError where they are not neighbours: the runtime takes one range.
    """
    text = ranges_of(cores)
    if not text or "," in text:
        raise UserError(f"NeuronCores {list(cores)} of one process: {text!r} is not allowed; allowed: a range as 0-3")
    return {CORES_VARIABLE: text}


def count_visible(text: str) -> int:
    """How many NeuronCores a process has in whose environment this stands. Raises UserError where it is no range."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    count = int(found[2] or found[1]) - int(found[1]) + 1 if found else 0
    if count < 1:
        raise UserError(f"{CORES_VARIABLE} {text!r} is not allowed; allowed: an index or a range as 0-3")
    return count
