"""AWS Inferentia2 through torch_neuronx.trace: one traced module for each batch size.

Facts of the interface: AWS Neuron SDK, api-torch-neuronx-trace.rst and the configuration guide of the runtime.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inferlab.errors import Unsupported
from inferlab.files import file_digest
from inferlab.models.structure import STRUCTURE_FILE, WEIGHTS_FILE
from inferlab.records import Accelerator, ArtifactRecord, Precision
from inferlab.targets.base import (
    TARGETS,
    Availability,
    Built,
    Placement,
    Profiling,
    Target,
    everywhere,
    installed_version,
)
from inferlab.targets.compiled_store import STORE, CompileTo, Taken, taken_or_compiled
from inferlab.targets.neuron_compiler import (
    CAST_TYPES,
    FLAGS_VARIABLE,
    PLATFORM,
    PLATFORM_VARIABLE,
    Analysis,
    AnalysisError,
    analyze_to,
    compile_one,
    compiler_arguments,
)
from inferlab.targets.neuron_devices import CORES_VARIABLE, count_visible, neuron_devices, visible_cores
from inferlab.targets.neuron_profile import neuron_profiling
from inferlab.targets.neuron_session import NeuronSession, load_traced
from inferlab.targets.operators import OperatorEvidence, compute_operators, has_attention
from inferlab.targets.source import PROGRAM_FILE, Source

if TYPE_CHECKING:
    import numpy as np
    import torch

    from inferlab.models.base import Model

NEURON_HINT = (
    "launch an EC2 inf2 instance (inf2.xlarge is the smallest) with AWS's Neuron driver and tools, "
    "then: make setup ENVIRONMENT=neuron (docs/inferentia.md)"
)
PACKAGE_HINT = "make setup ENVIRONMENT=neuron, and activate .venv-neuron (docs/inferentia.md)"
FIRST_CORE = 0
ANALYSIS_FILE = "analysis.json"

BY_FLAG = "what is in low precision is what the flags ask for: the compiler does not report what it did"
FP8_RATE = "a NeuronCore-v2 multiplies fp8 at the rate of bf16: fewer bytes, and no more products a second"

NO_INT8 = "no int8 through torch_neuronx.trace: its operators have none, and integer products are computed in fp32"
REFUSED: dict[Precision, str] = {
    "fp16": "fp16 (--auto-cast-type fp16) is not built into this target",
    "int8-static": NO_INT8,
    "int8-dynamic": NO_INT8,
    "weight-only": "Inferentia2 stores weights as int8 for generative models only, not through torch_neuronx.trace",
}


@TARGETS.register("inf2-neuronx")
class Inf2NeuronX(Target):
    """The artifact is one traced module for each batch size, loaded onto the NeuronCores of this process.

    Placed on one core, as the runtime does it by itself; on several each takes a part of every batch.
    """

    name: ClassVar[str] = "inf2-neuronx"
    engine: ClassVar[dict[str, str]] = {"torch_neuronx": "torch-neuronx"}
    exclusive: ClassVar[bool] = True
    rare_precisions: ClassVar[frozenset[Precision]] = frozenset({"fp8"})
    stand_ins: ClassVar[str] = "neuron"

    def probe(self) -> Availability:
        devices, problem = neuron_devices()
        if problem:
            return Availability(available=False, reason=problem, hint=NEURON_HINT)
        if find_spec("torch_neuronx") is None:
            reason = f"{len(devices)} Neuron device(s) are here, but torch_neuronx is not installed"
            return Availability(available=False, reason=reason, hint=PACKAGE_HINT)
        return Availability(available=True)

    def compiles_ahead(self) -> str:
        if find_spec("torch_neuronx") is None:
            return ""
        return f"copy build/, dvc.lock and {STORE} to an inf2 instance with the same versions (docs/inferentia.md)"

    def accelerators(self) -> tuple[Accelerator, ...]:
        return tuple(
            Accelerator(
                kind="neuron",
                name=f"Neuron device {device.neuron_device}",
                cores=device.nc_count,
                memory_mib=device.memory_size // 2**20,
            )
            for device in neuron_devices()[0]
        )

    def placement(self, cores: tuple[int, ...]) -> Placement:
        return everywhere(visible_cores(cores))

    def device_cores(self) -> int:
        return count_visible(os.environ.get(CORES_VARIABLE, str(FIRST_CORE)))

    def profiling(self, out_dir: Path) -> Profiling:
        return neuron_profiling(out_dir)

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

        operators = compute_operators(source.program)
        if not operators:
            raise Unsupported(f"{model.name} has no convolution or matrix product for neuronx-cc to compile")
        device = self.probe().available
        prepare_import(device)
        arguments = compiler_arguments(precision, has_attention(operators))
        versions = {**self.versions(), "neuronx-cc": installed_version("neuronx-cc")}
        files = {name: file_digest(source.folder / name) for name in (WEIGHTS_FILE, STRUCTURE_FILE, PROGRAM_FILE)}
        provenance = self.provenance()

        def example(size: int) -> tuple[torch.Tensor, ...]:
            return tuple(torch.ones((size, *spec.shape), dtype=getattr(torch, spec.dtype)) for spec in model.inputs)

        def taken(what: str, size: int, flags: Sequence[str], compile_to: CompileTo) -> Taken:
            inputs = {
                "model": files,
                "shapes": {spec.name: [size, *spec.shape] for spec in model.inputs},
                "dtypes": {spec.name: spec.dtype for spec in model.inputs},
                "flags": list(flags),
                "versions": versions,
            }
            return taken_or_compiled({"what": what, **inputs}, provenance, out_dir / what, compile_to)

        traces = {}
        for size in batch_sizes:
            compile_to = partial(compile_one, source.module, example(size), arguments, device)
            traces[size] = taken(traced_file(size), size, arguments, compile_to)
        smallest = min(batch_sizes)
        # Which operators there are kernels for is no matter of flags, and asking compiles each of them.
        try:
            taken(ANALYSIS_FILE, smallest, [], partial(analyze_to, source.module, example(smallest)))
        except AnalysisError as failure:  # not kept: another host, or the next run, may get one
            Analysis(problem=str(failure)).write(out_dir / ANALYSIS_FILE)
        analysis = Analysis.read(out_dir / ANALYSIS_FILE)
        records = [each.record for each in traces.values()]
        return Built(
            batch_sizes=tuple(batch_sizes),
            operators=evidence(len(operators), precision, arguments, analysis, traces),
            versions=versions,
            build_time_s=sum(record.build_time_s for record in records),
            binaries=tuple(record.binary for record in records if record.binary is not None),
        )

    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> NeuronSession:
        prepare_import(device=True)
        import torch

        torch.set_num_threads(len(cores))
        own = self.device_cores()
        traced = load_traced(lambda size: artifact_dir / traced_file(size), record.batch_sizes, own)
        return NeuronSession(model, traced, own)


def prepare_import(device: bool) -> None:
    """Set what Neuron's packages read when they are imported, so that it stands before that.

    A process that nobody gave cores takes the first one and leaves its neighbours theirs. Without a device the compiler
    has to be told the chip. Flags come from us alone, since what was compiled is kept by those that we name.
    """
    os.environ.pop(FLAGS_VARIABLE, None)
    os.environ.setdefault(CORES_VARIABLE, str(FIRST_CORE))
    if not device:
        os.environ[PLATFORM_VARIABLE] = PLATFORM


def evidence(
    operators: int, precision: Precision, arguments: Sequence[str], analysis: Analysis, traces: Mapping[int, Taken]
) -> OperatorEvidence:
    """What is known of the artifact's operators. Auto-cast applies to all that multiply and accumulate."""
    low = precision in CAST_TYPES
    notes = [f"neuronx-cc {' '.join(arguments)}", analysis.note, *([BY_FLAG] if low else [])]
    notes += [FP8_RATE] if precision == "fp8" else []
    if kept := [str(size) for size, each in traces.items() if each.kept]:
        notes.append(f"batch {', '.join(kept)} compiled before and taken from {STORE}")
    return OperatorEvidence(
        operators=operators,
        low_precision_operators=operators if low else 0,
        low_precision_mac_share=float(low),
        # Without a partitioner, trace raises where any operator does not run on the device.
        operators_on_accelerator_share=1.0 if analysis.share is None else analysis.share,
        note="; ".join(notes),
    )


def traced_file(size: int) -> str:
    """The traced module for batches of `size`."""
    return f"batch-{size}.pt"
