"""ONNX Runtime on the CPU: the exported program as ONNX, int8 through its own quantizer, any batch size."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferlab.errors import Unsupported
from inferlab.records import ArtifactRecord, Precision
from inferlab.targets.base import TARGETS, Availability, Built, Target, installed_version
from inferlab.targets.instructions import NO_FP16
from inferlab.targets.onnx_model import (
    export_model,
    optimized_before_quantization,
    quantize_dynamic,
    quantize_static,
)
from inferlab.targets.onnxruntime_profile import operator_evidence
from inferlab.targets.operators import OperatorEvidence, compute_operators, has_attention
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model

MODEL_FILE = "model.onnx"
ERRORS_ONLY = 3
"""Of ONNX Runtime's levels of severity."""

REFUSED: dict[Precision, str] = {
    "fp16": NO_FP16,
    "bf16": "ONNX Runtime has no bf16 convolutions or matrix products for x86 CPUs; its bf16 kernels are for Arm",
    "weight-only": "ONNX Runtime's weight-only kernels are made for large language models and are not built in",
}


@TARGETS.register("cpu-onnxruntime")
class CpuOnnxRuntime(Target):
    """The artifact is an ONNX model with a dynamic batch dimension; loading optimizes it for this CPU.

    Fixing that dimension was no faster: BERT-base in int8-dynamic took 102 to 139 ms at batch 1 with the dynamic one
    and 111 to 155 ms with it fixed, and 815 to 1152 ms against 893 to 1205 ms at batch 8 (one thread of a busy machine,
    six rounds in turn).
    """

    name: ClassVar[str] = "cpu-onnxruntime"
    engine: ClassVar[dict[str, str]] = {"onnxruntime": "onnxruntime"}
    on_cpu: ClassVar[bool] = True

    def probe(self) -> Availability:
        for module, distribution in (("onnxruntime", "ONNX Runtime"), ("onnx", "ONNX"), ("onnxscript", "onnxscript")):
            if find_spec(module) is None:
                return Availability(available=False, reason=f"{distribution} is not installed", hint="run make setup")
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
        if precision == "int8-static" and calibration is None:
            raise Unsupported("int8-static needs calibration data; the recipe has no calibrate step")
        path = out_dir / MODEL_FILE
        transformer = has_attention(compute_operators(source.program))
        if precision == "fp32":
            export_model(source.program, model, path)
        else:
            with tempfile.TemporaryDirectory() as folder:
                exported, ready = Path(folder) / "exported.onnx", Path(folder) / "ready.onnx"
                export_model(source.program, model, exported)
                optimized_before_quantization(exported, ready)
                if calibration is not None:
                    quantize_static(ready, path, calibration, transformer)
                else:
                    quantize_dynamic(ready, path)
        evidence = profiled(path, model.preprocess(model.example_samples(min(batch_sizes), seed=0)))
        versions = {**self.versions(), **{name: installed_version(name) for name in ("onnx", "onnxscript", "torch")}}
        return Built(batch_sizes=tuple(batch_sizes), operators=evidence, versions=versions)

    def load(
        self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]
    ) -> OnnxRuntimeSession:
        return OnnxRuntimeSession(model, open_model(artifact_dir / MODEL_FILE, session_options(len(cores))))


class OnnxRuntimeSession:
    """One session for batches of any size; ONNX Runtime lets several threads run it."""

    thread_safe = True

    def __init__(self, model: Model, session: Any) -> None:
        self._session: Any = session
        self._inputs = [(spec.name, spec.dtype) for spec in model.inputs]
        self._outputs = [spec.name for spec in model.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import numpy as np

        if self._session is None:
            raise ValueError("the session is closed")
        feeds = {name: np.ascontiguousarray(inputs[name], dtype) for name, dtype in self._inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))

    def close(self) -> None:
        self._session = None


def session_options(threads: int) -> Any:
    """Options of a session on this many threads, the caller's among them; all optimizations, for this very CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # With a number given, threads stay on the cores of the process instead of one each of the machine's.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for the next batch would take the cores from the server that is to bring it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = ERRORS_ONLY
    return options


def open_model(path: Path, options: Any) -> Any:
    """A session on the CPU."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def profiled(path: Path, inputs: dict[str, np.ndarray]) -> OperatorEvidence:
    """Run the model once under ONNX Runtime's profiler and say which kernels it ran."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads=1)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        # The profiler does not see weights that a kernel has packed for itself; the kernels are the same without.
        options.add_session_config_entry("session.disable_prepacking", "1")
        session = open_model(path, options)
        session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return operator_evidence(events)
