"""OpenVINO on the CPU: the exported program as its IR, int8 through NNCF, one compiled model for each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.errors import Unsupported
from inferlab.records import ArtifactRecord, Precision
from inferlab.targets.base import TARGETS, Availability, Built, Target, installed_version
from inferlab.targets.batching import compiled_size, fill
from inferlab.targets.instructions import NO_FP16
from inferlab.targets.openvino_graph import operator_evidence
from inferlab.targets.openvino_int8 import quantized, rounds_activations, with_8_bit_weights
from inferlab.targets.openvino_network import compile_network, converted, import_openvino, network_of_size
from inferlab.targets.operators import compute_operators, has_attention
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model

IR_FILE = "model.xml"

REFUSED: dict[Precision, str] = {
    "fp16": NO_FP16,
    "weight-only": "OpenVINO's weight compression is made for large language models and is not built in",
}


@TARGETS.register("cpu-openvino")
class CpuOpenVino(Target):
    """The artifact is an IR with a dynamic batch dimension; loading compiles it once for each batch size.

    Fixed shapes, since a dynamic batch was slower on every model tried: efficientnet-lite0 at 112 px took 1.57 ms
    instead of 1.38 ms at batch 1 and 9.5 ms instead of 8.8 ms at batch 8, and 2.3 ms at batch 1 after a batch of
    another size, as kernels are then prepared again; minilm 14.9 ms instead of 14.5 ms at batch 1 (one thread).
    """

    name: ClassVar[str] = "cpu-openvino"
    engine: ClassVar[dict[str, str]] = {"openvino": "openvino"}
    on_cpu: ClassVar[bool] = True

    def probe(self) -> Availability:
        if find_spec("openvino") is None:
            return Availability(available=False, reason="OpenVINO is not installed", hint="run make setup")
        return Availability(available=True)

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
        openvino = import_openvino()
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Unsupported("OpenVINO finds no bf16 instructions on this CPU and would compute in fp32")
        operators = compute_operators(source.program)
        if not operators:
            raise Unsupported(f"{model.name} has no convolution or matrix product for OpenVINO to compile")
        network = converted(openvino, source.program, model)
        versions = {**self.versions(), "torch": installed_version("torch")}
        if precision == "int8-static":
            if calibration is None:
                raise Unsupported("int8-static needs calibration data; the recipe has no calibrate step")
            network = quantized(network, model, calibration, has_attention(operators))
            versions["nncf"] = installed_version("nncf")
        if precision == "int8-dynamic":
            network = with_8_bit_weights(network)
            versions["nncf"] = installed_version("nncf")
        # IR weights default to fp16, which would be another precision than the one named.
        openvino.save_model(network, str(out_dir / IR_FILE), compress_to_fp16=False)
        smallest = network_of_size(openvino, out_dir / IR_FILE, model, min(batch_sizes))
        compiled = compile_network(openvino, smallest, precision, threads=1)
        rounded = precision == "int8-dynamic" and rounds_activations(openvino, smallest, model, min(batch_sizes))
        evidence = operator_evidence(smallest, compiled.get_runtime_model(), rounded)
        return Built(batch_sizes=tuple(batch_sizes), operators=evidence, versions=versions)

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> OpenVinoSession:
        openvino = import_openvino()
        requests = {}
        for size in record.batch_sizes:
            network = network_of_size(openvino, artifact_dir / IR_FILE, model, size)
            compiled = compile_network(openvino, network, record.precision, len(cores))
            requests[size] = compiled.create_infer_request()
        return OpenVinoSession(model, requests)


class OpenVinoSession:
    """One infer request for each batch size. A request holds the tensors of one call, so one thread at a time.

    Inputs are copied into the request's own tensors: to hand over an array took longer, and OpenVINO refuses those that
    are read-only, such as those over a request's bytes.
    """

    thread_safe = False

    def __init__(self, model: Model, requests: dict[int, Any]) -> None:
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]
        self._requests = {
            # Of fixed shapes, a request's tensors stay where they are.
            size: (
                request,
                [request.get_input_tensor(index).data for index in range(len(self._inputs))],
                [request.get_output_tensor(index).data for index in range(len(self._outputs))],
            )
            for size, request in requests.items()
        }

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = len(inputs[self._inputs[0]])
        request, buffers, results = (
            self._requests.get(batch) or self._requests[compiled_size(list(self._requests), batch)]
        )
        for name, buffer in zip(self._inputs, buffers, strict=True):
            fill(buffer, inputs[name])
        request.infer(share_outputs=True)
        return {name: result[:batch].copy() for name, result in zip(self._outputs, results, strict=True)}

    def close(self) -> None:
        self._requests = {}
