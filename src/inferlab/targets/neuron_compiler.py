"""torch_neuronx.trace with every flag explicit, and what torch_neuronx.analyze says of a model's operators.

Facts of the interface: AWS Neuron SDK, api-torch-neuronx-trace.rst, api-torch-neuronx-analyze.rst and the command line
reference of neuronx-cc.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.errors import Unsupported
from inferlab.files import file_digest
from inferlab.records import CompiledBinary, Precision, Record

if TYPE_CHECKING:
    from torch import Tensor, nn

PLATFORM_VARIABLE = "NEURON_PLATFORM_TARGET_OVERRIDE"
"""Names the chip on a host that has none; Neuron's packages read it when they are imported."""
PLATFORM = "inf2"
FLAGS_VARIABLE = "NEURON_CC_FLAGS"
"""Flags that Neuron's packages give the compiler beside those of a call."""
MOST_NAMED = 5
REFUSED_BY_COMPILER = re.compile(r"neuronx-cc failed with [1-9]")
"""As trace says it of an exit code; a signal that ended the compiler is a negative one."""

CAST_TYPES: dict[Precision, str] = {"bf16": "bf16", "fp8": "fp8_e4m3"}
"""What fp32 matrix products are cast to."""


def compiler_arguments(precision: Precision, attention: bool) -> list[str]:
    """Flags of neuronx-cc. `--model-type transformer` where the network has attention.

    The default of --auto-cast was matmult up to SDK 2.24 and is none since, so it is never left out.
    """
    model_type = "transformer" if attention else "generic"
    cast_type = CAST_TYPES.get(precision)
    cast = ["--auto-cast", "matmult", "--auto-cast-type", cast_type] if cast_type else ["--auto-cast", "none"]
    return ["--target", PLATFORM, "--model-type", model_type, "--optlevel", "2", *cast]


class Analysis(Record):
    """Operators of a model that the compiler takes, of all that it has, and the kinds that it does not take."""

    supported: int = 0
    operators: int = 0
    unsupported: tuple[str, ...] = ()
    problem: str = ""
    """Why there is no analysis, where there is none."""

    @property
    def share(self) -> float | None:
        """Of operators that the compiler takes, None where that is not known."""
        return self.supported / self.operators if self.operators else None

    @property
    def note(self) -> str:
        """For people."""
        if self.problem:
            return f"torch_neuronx.analyze gave no answer: {self.problem}"
        named = f", not {', '.join(self.unsupported[:MOST_NAMED])}" if self.unsupported else ""
        return f"torch_neuronx.analyze: neuronx-cc takes {self.supported} of {self.operators} operators{named}"


class AnalysisError(Exception):
    """torch_neuronx.analyze gave no answer; the message is its own."""


def analyzed(module: nn.Module, example: tuple[Tensor, ...]) -> Analysis:
    """Ask torch_neuronx.analyze, which compiles each operator by itself. Raises AnalysisError where it fails."""
    import torch_neuronx

    # Without being told it deadlocks on such models (its documentation).
    transformers = any(type(part).__module__.startswith("transformers.") for part in module.modules())
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = torch_neuronx.analyze(
                module,
                example,
                compiler_workdir=folder,
                max_workers=len(os.sched_getaffinity(0)),
                is_hf_transformers=transformers,
            )
        except Exception as error:  # whatever it is, what was compiled runs without an analysis
            raise AnalysisError(_first_line(error)) from error
    refused = [str(operator["kind"]) for operator in report["unsupported_operators"]]
    supported = sum(int(count) for count in report["supported_operators"].values())
    return Analysis(supported=supported, operators=supported + len(refused), unsupported=tuple(dict.fromkeys(refused)))


def analyzed_or_why_not(module: nn.Module, example: tuple[Tensor, ...]) -> Analysis:
    """The same, but a failure is an answer, too."""
    try:
        return analyzed(module, example)
    except AnalysisError as failure:
        return Analysis(problem=str(failure))


def analyze_to(module: nn.Module, example: tuple[Tensor, ...], out: Path) -> tuple[float, None]:
    """Write the analysis to `out`; the seconds that it took. Raises AnalysisError."""
    began_s = time.perf_counter()
    analyzed(module, example).write(out)
    return time.perf_counter() - began_s, None


def compile_one(
    module: nn.Module, example: tuple[Tensor, ...], arguments: Sequence[str], device: bool, out: Path
) -> tuple[float, CompiledBinary | None]:
    """Trace and compile for the shapes of `example`, and save to `out`; the seconds that took, and the NEFF.

    Without a `device` on this host the compiler alone is used, and nothing is loaded. Raises Unsupported where the
    compiler refuses the model, naming the operators that it does not take; RuntimeError where it was killed, or never
    ran.
    """
    import torch
    import torch_neuronx

    with tempfile.TemporaryDirectory() as folder:
        # Given only where it is needed: releases differ in whether they know it.
        host_only: dict[str, Any] = {} if device else {"cpu_backend": True}
        began_s = time.perf_counter()
        try:
            traced = torch_neuronx.trace(
                module, example, compiler_workdir=folder, compiler_args=list(arguments), **host_only
            )
        except RuntimeError as error:
            analysis = analyzed_or_why_not(module, example)
            if not analysis.unsupported and not REFUSED_BY_COMPILER.search(str(error)):
                raise
            raise Unsupported(f"{_first_line(error)}; {analysis.note}") from error
        build_time_s = time.perf_counter() - began_s
        torch.jit.save(traced, str(out))
        return build_time_s, _neff(Path(folder), len(example[0]))


def _neff(folder: Path, batch_size: int) -> CompiledBinary | None:
    """What neuronx-cc left in its work folder: one NEFF for a model that was not partitioned."""
    files = sorted(folder.rglob("*.neff"))
    if len(files) != 1:
        return None
    return CompiledBinary(batch_size=batch_size, size_bytes=files[0].stat().st_size, sha256=file_digest(files[0]))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
