"""AWS Inferentia2 through torch_neuronx.trace: one traced module for each batch size, every compiler flag explicit.

Facts of the interface: AWS Neuron SDK, api-torch-neuronx-trace.rst and neuronx-cc's command line reference.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.records import Accelerator, ArtifactRecord, Precision
from inferlab.targets.base import TARGETS, Availability, Built, Placement, Target, everywhere, installed_version
from inferlab.targets.batching import compiled_size, padded
from inferlab.targets.operators import OperatorEvidence, compute_operators, has_attention
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model

NEURON_HINT = (
    "launch an EC2 inf2 instance (inf2.xlarge is the smallest) with AWS's Neuron driver and tools, "
    "and install the extra: pip install 'inferlab[neuron]' from AWS's package index"
)
NEURON_LS_TIMEOUT_S = 20.0

AUTO_CAST: dict[Precision, list[str]] = {
    # The default of --auto-cast was matmult up to SDK 2.24 and is none since, so it is never left out.
    "fp32": ["--auto-cast", "none"],
    "bf16": ["--auto-cast", "matmult", "--auto-cast-type", "bf16"],
}

NO_INT8 = "no int8 through torch_neuronx.trace: its operators have none, and integer products are computed in fp32"
REFUSED: dict[Precision, str] = {
    "fp16": "fp16 (--auto-cast-type fp16) is not built into this target",
    "int8-static": NO_INT8,
    "int8-dynamic": NO_INT8,
    "weight-only": "Inferentia2 stores weights as int8 for generative models only, not through torch_neuronx.trace",
}


@TARGETS.register("inf2-neuronx")
class Inf2NeuronX(Target):
    """The artifact is one traced module for each batch size; loading puts each on the NeuronCore of this process."""

    name: ClassVar[str] = "inf2-neuronx"
    engine: ClassVar[dict[str, str]] = {"torch_neuronx": "torch-neuronx"}

    def probe(self) -> Availability:
        devices, problem = _devices()
        if problem:
            return Availability(available=False, reason=problem, hint=NEURON_HINT)
        if not devices:
            return Availability(available=False, reason="neuron-ls lists no Neuron device", hint=NEURON_HINT)
        if find_spec("torch_neuronx") is None:
            reason = f"{len(devices)} Neuron device(s) are here, but torch_neuronx is not installed"
            return Availability(available=False, reason=reason, hint="pip install 'inferlab[neuron]' from AWS's index")
        return Availability(available=True)

    def accelerators(self) -> tuple[Accelerator, ...]:
        devices, _ = _devices()
        return tuple(
            Accelerator(
                kind="neuron",
                name=f"Neuron device {device['neuron_device']}",
                cores=int(device["nc_count"]),
                memory_mib=int(device["memory_size"]) // 2**20,
            )
            for device in devices
        )

    def placement(self, cores: tuple[int, ...]) -> Placement:
        return everywhere({"NEURON_RT_VISIBLE_CORES": ",".join(map(str, cores))})

    def supports(self, precision: Precision) -> str | None:
        return REFUSED.get(precision)

    def compile(
        self,
        model: Model,
        source: Source,
        precision: Precision,
        calibration: dict[str, np.ndarray] | None,
        batch_sizes: Sequence[int],
        out_dir: Path,
    ) -> Built:
        import torch

        visible_core()
        import torch_neuronx

        operators = compute_operators(source.program)
        arguments = compiler_arguments(precision, has_attention(operators))
        for size in batch_sizes:
            example = tuple(torch.ones((size, *spec.shape), dtype=getattr(torch, spec.dtype)) for spec in model.inputs)
            traced = torch_neuronx.trace(source.module, example, compiler_args=arguments)
            torch.jit.save(traced, str(out_dir / traced_file(size)))
        low = len(operators) if precision == "bf16" else 0
        evidence = OperatorEvidence(
            operators=len(operators),
            low_precision_operators=low,
            low_precision_mac_share=float(precision == "bf16"),
            # Without a partitioner, trace raises where any operator does not run on the device.
            operators_on_accelerator_share=1.0,
            note=f"neuronx-cc {' '.join(arguments)}",
        )
        versions = {**self.versions(), "neuronx-cc": installed_version("neuronx-cc")}
        return Built(batch_sizes=tuple(batch_sizes), operators=evidence, versions=versions)

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> NeuronSession:
        visible_core()
        import torch
        import torch_neuronx  # noqa: F401 (registers the operators that a saved trace calls)

        torch.set_num_threads(len(cores))
        load: Callable[[str], Any] = torch.jit.load
        traced = {size: load(str(artifact_dir / traced_file(size))) for size in record.batch_sizes}
        return NeuronSession(model, traced)


class NeuronSession:
    """Takes and gives CPU tensors; the transfers and the wait for the device are inside the traced module's call."""

    thread_safe = False

    def __init__(self, model: Model, traced: dict[int, Callable[..., Any]]) -> None:
        self._traced = traced
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        batch = len(inputs[self._inputs[0]])
        size = compiled_size(list(self._traced), batch)
        arrays = [padded(inputs[name], size) for name in self._inputs]
        # Arrays over the bytes of a request are read-only, which torch has no notion of.
        tensors = [torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays]
        with torch.inference_mode():
            outputs = self._traced[size](*tensors)
        results = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return {name: result[:batch].numpy() for name, result in zip(self._outputs, results, strict=True)}

    def close(self) -> None:
        self._traced = {}


def compiler_arguments(precision: Precision, attention: bool) -> list[str]:
    """Flags of neuronx-cc. `--model-type transformer` where the network has attention."""
    model_type = "transformer" if attention else "generic"
    return ["--target", "inf2", "--model-type", model_type, "--optlevel", "2", *AUTO_CAST[precision]]


def visible_core() -> None:
    """Claim the first NeuronCore unless the environment names others: a core belongs to one process.

    The runtime reads this once, so it stands before torch_neuronx is imported.
    """
    os.environ.setdefault("NEURON_RT_VISIBLE_CORES", "0")


def traced_file(size: int) -> str:
    """The traced module for batches of `size`."""
    return f"batch-{size}.pt"


def _devices() -> tuple[list[dict[str, Any]], str]:
    """What `neuron-ls --json-output` lists, or nothing and why."""
    program = shutil.which("neuron-ls")
    if program is None:
        return [], "no AWS Neuron tools: neuron-ls is not on PATH"
    try:
        listed = subprocess.run(
            [program, "--json-output"], capture_output=True, text=True, timeout=NEURON_LS_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [], f"neuron-ls did not answer within {NEURON_LS_TIMEOUT_S:.0f} s"
    if listed.returncode != 0:
        return [], f"neuron-ls failed: {listed.stderr.strip() or listed.stdout.strip()}"
    try:
        devices = json.loads(listed.stdout)
    except ValueError as error:
        return [], f"neuron-ls gave no JSON: {error}"
    return list(devices), ""
