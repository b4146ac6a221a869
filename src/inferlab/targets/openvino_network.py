"""A network of OpenVINO: from the exported program, from its file at a batch size, compiled for the CPU."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.records import Precision

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from inferlab.models.base import Model

ACTIVATION_GROUP = 32
"""Activations that share a scale where they are rounded at run time: OpenVINO's own choice."""


def import_openvino() -> Any:
    """The engine, with its telemetry off.

    openvino and nncf report their use to their vendor unless openvino-telemetry fails to import or a file in the
    user's home forbids it. This makes the import fail, which both provide for.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def converted(openvino: Any, program: ExportedProgram, model: Model) -> Any:
    """The program as a network with the model's tensor names, its shapes fixed but for the batch."""
    with warnings.catch_warnings():
        # torch deprecates what its own copying of a program uses.
        warnings.simplefilter("ignore", FutureWarning)
        network = openvino.convert_model(program)
    for port, spec in zip(network.inputs, model.inputs, strict=True):
        port.get_tensor().set_names({spec.name})
    for port, spec in zip(network.outputs, model.outputs, strict=True):
        port.get_tensor().set_names({spec.name})
    network.reshape({spec.name: [-1, *spec.shape] for spec in model.inputs})
    return network


def network_of_size(openvino: Any, path: Path, model: Model, size: int) -> Any:
    """Read the IR and fix its batch dimension."""
    network = openvino.Core().read_model(str(path))
    network.reshape({spec.name: [size, *spec.shape] for spec in model.inputs})
    return network


def compile_network(
    openvino: Any, network: Any, precision: Precision, threads: int, group_size: int | None = None
) -> Any:
    """Compile for the CPU. Every option that bears on precision or threads is explicit.

    `group_size` is how many activations share a scale where they are rounded at run time, 0 for none rounded.
    """
    if group_size is None:
        group_size = ACTIVATION_GROUP if precision == "int8-dynamic" else 0
    options = {
        # Without it CPUs with bf16 instructions run fp32 networks, and what int8 leaves over, in bf16.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group_size,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # The process is pinned by its affinity, which OpenVINO's own pinning would override.
        "ENABLE_CPU_PINNING": False,
    }
    return openvino.Core().compile_model(network, "CPU", options)
