"""TensorRT's builder and runtime: from an ONNX model to a plan, and from a plan to a function of tensors on the GPU.

Facts: TensorRT 11, Python API (Builder, OnnxParser, Runtime, IExecutionContext, EngineInspector).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from inferlab.errors import ArtifactError, Unsupported

if TYPE_CHECKING:
    from inferlab.models.base import Model


def build_plan(onnx_file: Path, model: Model, size: int, out: Path) -> None:
    """Compile for batches of `size` and write the plan. Raises Unsupported with TensorRT's words where it refuses.

    fp32 is IEEE fp32: TensorRT's default would be TF32.
    """
    import tensorrt

    log = _log()
    builder = tensorrt.Builder(log)
    network = builder.create_network()
    parser = tensorrt.OnnxParser(network, log)
    if not parser.parse(onnx_file.read_bytes()):
        raise Unsupported(f"TensorRT does not take this network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    config.profiling_verbosity = tensorrt.ProfilingVerbosity.DETAILED
    profile = builder.create_optimization_profile()
    for spec in model.inputs:
        shape = (size, *spec.shape)
        profile.set_shape(spec.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise Unsupported(f"TensorRT builds no engine for batches of {size}: {log.said()}")
    out.write_bytes(bytes(plan))


class Engine:
    """A plan on the GPU: inputs on the device -> outputs on the device, both [size, ...], on the current stream.

    A plan is code for the GPU, so it has to come from an artifact whose files were checked. TensorRT itself refuses
    plans with code for the host unless `engine_host_code_allowed` is set, which it is not.
    """

    def __init__(self, plan: Path, model: Model, size: int, device: str) -> None:
        """Raises ArtifactError where the plan is of another version of TensorRT or of another GPU."""
        import tensorrt

        log = _log()
        self._runtime = tensorrt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise ArtifactError(f"{plan}: TensorRT refuses it: {log.said()}; run dvc repro")
        self._context = self._engine.create_execution_context()
        self._log = log
        self._inputs = [spec.name for spec in model.inputs]
        self._outputs = {
            spec.name: torch.empty((size, *spec.shape), dtype=getattr(torch, spec.dtype), device=device)
            for spec in model.outputs
        }
        for spec in model.inputs:
            self._context.set_input_shape(spec.name, (size, *spec.shape))
        for name, tensor in self._outputs.items():
            self._context.set_tensor_address(name, tensor.data_ptr())

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Start the engine; the next call writes over its outputs. Raises RuntimeError where it does not start."""
        for name, tensor in zip(self._inputs, inputs, strict=True):
            self._context.set_tensor_address(name, tensor.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError(f"TensorRT did not start: {self._log.said()}")
        return tuple(self._outputs.values())

    def layers(self) -> tuple[int, int]:
        """(layers of the engine, those with an int8 input), as TensorRT's inspector lists them."""
        import tensorrt

        inspector = self._engine.create_engine_inspector()
        listed = json.loads(inspector.get_engine_information(tensorrt.LayerInformationFormat.JSON))["Layers"]
        return len(listed), sum(isinstance(layer, dict) and _takes_int8(layer) for layer in listed)


def _takes_int8(layer: dict[str, Any]) -> bool:
    """Up to TensorRT 10 a tensor's type stood in "Format/Datatype"; since then in "DataType"."""
    types = [f"{each.get('DataType', '')} {each.get('Format/Datatype', '')}" for each in layer.get("Inputs", [])]
    return any("int8" in text.lower() for text in types)


def _log() -> Any:
    """TensorRT's log, of which the last error is kept and nothing is printed."""
    import tensorrt

    class Log(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (tensorrt.ILogger.Severity.ERROR, tensorrt.ILogger.Severity.INTERNAL_ERROR):
                self._errors.append(msg)

        def said(self) -> str:
            return self._errors[-1] if self._errors else "it gave no reason"

    return Log()
