"""A strict stand-in for torch_neuronx 2.9: its documented signatures, and the refusals of compiler, runtime and chip.

Facts: AWS Neuron SDK, api-torch-neuronx-trace.rst, api-torch-neuronx-analyze.rst, the command line reference of
neuronx-cc and the configuration guide of the runtime. A traced module computes on the CPU what it was traced from.
"""

import fcntl
import hashlib
import json
import os
import re
import shlex
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor, nn

__version__ = "2.9.0.0+fake"
COMPILER_VERSION = "2.0.0.0+fake"

# Neuron's packages read it when they are imported, and never again.
PLATFORM_OVERRIDE = os.environ.get("NEURON_PLATFORM_TARGET_OVERRIDE")
STATE = os.environ.get("INFERLAB_FAKE_NEURON")

CORES_PER_DEVICE = 2
DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.int32, torch.bool)
FLAGS = {
    "--target": {"inf2"},
    "--model-type": {"generic", "transformer", "unet-inference"},
    "--auto-cast": {"none", "matmult", "all"},
    "--auto-cast-type": {"bf16", "fp16", "tf32", "fp8_e4m3"},
    "--optlevel": {"1", "2", "3"},
}
REQUIRED_FLAGS = {"--target", "--model-type", "--auto-cast", "--optlevel"}
"""Those whose defaults changed between releases, or depend on the host: a user of this stand-in names them."""
DATA_DEPENDENT = {"aten::nonzero", "aten::masked_select", "aten::unique_dim", "aten::_unique2"}
UNSUPPORTED = {"aten::sort", "aten::fft_fft", "aten::triangular_solve", "aten::linalg_solve_triangular"}


class Trace(NamedTuple):
    """What `trace` was called with."""

    flags: dict[str, str]
    cpu_backend: bool


TRACES: list[Trace] = []


class _Compiled(nn.Module):
    """What was traced, and the interface of its NEFF as bytes of JSON, which a saved trace keeps in a buffer."""

    def __init__(self, func: nn.Module, interface: str) -> None:
        super().__init__()
        self.func = func
        self.register_buffer("neff_interface", torch.tensor(list(interface.encode()), dtype=torch.uint8))

    def forward(self, *tensors: Tensor) -> Any:
        return self.func(*tensors)


class _Runtime:
    """The cores that this process has, from its first load until its end."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._locks: list[IO[str]] = []

    def load(self) -> None:
        """Claim the visible cores unless this process has them. Raises RuntimeError where another has one."""
        if self._pid is None:
            self._locks = [_claimed(core) for core in visible_cores()]
            self._pid = os.getpid()
        self.check()

    def check(self) -> None:
        """Raise RuntimeError in a process that was forked from the one that loaded."""
        if self._pid != os.getpid():
            raise RuntimeError("Incompatible runtime state: NRT_STATE_CHILD")


RUNTIME = _Runtime()


class _Loaded:
    """A loaded trace: takes and gives CPU tensors, of the traced shapes and types alone."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._interface = json.loads(bytes(module.neff_interface.tolist()))
        RUNTIME.load()

    def __call__(self, *tensors: Tensor) -> Any:
        RUNTIME.check()
        if _interface(tensors) != self._interface:
            raise RuntimeError(f"inputs {_interface(tensors)} were not traced, {self._interface} were")
        return self._module(*tensors)


def trace(
    func: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    *,
    input_output_aliases: dict[Any, Any] | None = None,
    compiler_workdir: str | Path | None = None,
    compiler_args: Sequence[str] | str | None = None,
    partitioner_config: None = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> Any:
    """Trace a module for these shapes. Raises RuntimeError for what compiler or host refuse."""
    flags = _flags(compiler_args)
    if input_output_aliases or not inline_weights_to_neff:
        raise RuntimeError("this stand-in has neither states on the device nor weights outside the NEFF")
    if not cpu_backend and not _device_count():
        raise RuntimeError("no Neuron device found; on a host without one trace with cpu_backend=True")
    if cpu_backend and not _device_count() and PLATFORM_OVERRIDE != "inf2":
        raise RuntimeError("no platform target: NEURON_PLATFORM_TARGET_OVERRIDE was not set before the import")
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    for tensor in inputs:
        if tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
            raise RuntimeError(f"inputs of {tensor.dtype} on {tensor.device} cannot be traced")
    kinds = _operators(func, inputs)
    refused = sorted(kind for kind in kinds if _refusal(kind))
    if refused:
        raise RuntimeError(f"neuronx-cc failed with 70: {refused[0]}: {_refusal(refused[0])}")
    TRACES.append(Trace(flags, cpu_backend))
    interface = _interface(inputs)
    if compiler_workdir is not None:
        neff = {"flags": flags, "interface": interface, "operators": kinds, "weights": _digest(func)}
        Path(compiler_workdir, "graph.neff").write_text(json.dumps(neff, sort_keys=True), encoding="utf-8")
    return _traced(_Compiled(func, json.dumps(interface)), inputs)


def analyze(
    func: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    compiler_workdir: str | Path | None = None,
    *,
    additional_ignored_ops: Collection[str] = frozenset(),
    max_workers: int = 4,
    is_hf_transformers: bool = False,
    cleanup: bool = False,
) -> dict[str, Any]:
    """Say which operators the compiler takes, in the documented form."""
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    kinds = [kind for kind in _operators(func, inputs) if kind not in additional_ignored_ops]
    supported = Counter(kind for kind in kinds if not _refusal(kind))
    unsupported = [
        {"kind": kind, "compute_engine": "CPU", "failureAt": "neuronx-cc", "call": "", "opGraph": ""}
        for kind in kinds
        if _refusal(kind)
    ]
    return {
        "torch_neuronx_version": __version__,
        "neuronx_cc_version": COMPILER_VERSION,
        "support_percentage": f"{100 * supported.total() / len(kinds):.2f}%",
        "supported_operators": dict(supported),
        "unsupported_operators": unsupported,
    }


def visible_cores() -> list[int]:
    """Those that NEURON_RT_VISIBLE_CORES names, an index or an inclusive range; without it all, as the runtime does."""
    count = CORES_PER_DEVICE * _device_count()
    text = os.environ.get("NEURON_RT_VISIBLE_CORES", f"0-{count - 1}")
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if found is None:
        raise RuntimeError(f"NEURON_RT_VISIBLE_CORES is {text!r}; expected an index or a range such as 0-3")
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last < count:
        raise RuntimeError(f"NeuronCore(s) not available - Requested:nc{first}-nc{last} Available:0")
    return list(range(first, last + 1))


def _device_count() -> int:
    return int(Path(STATE, "devices").read_text(encoding="utf-8")) if STATE else 0


def _claimed(core: int) -> IO[str]:
    """The lock of a core, which the kernel frees at the end of this process. Raises RuntimeError where it is taken."""
    assert STATE is not None, "cores are visible where there is a device"
    stream = Path(STATE, f"core-{core}").open("a+", encoding="utf-8")  # noqa: SIM115 (open means: it has the core)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise RuntimeError(f"NeuronCore(s) not available - Requested:nc{core}-nc{core} Available:0") from None
    stream.truncate(0)
    stream.write(str(os.getpid()))
    stream.flush()
    return stream


def _flags(arguments: Sequence[str] | str | None) -> dict[str, str]:
    words = shlex.split(arguments) if isinstance(arguments, str) else list(arguments or [])
    if len(words) % 2:
        raise RuntimeError(f"neuronx-cc: {words[-1]} has no value")
    flags = dict(zip(words[::2], words[1::2], strict=True))
    for flag, value in flags.items():
        if value not in FLAGS.get(flag, set()):
            raise RuntimeError(f"neuronx-cc: unknown argument {flag} {value}")
    if missing := REQUIRED_FLAGS - set(flags):
        raise RuntimeError(f"neuronx-cc: {sorted(missing)[0]} has no stable default and must be given")
    return flags


def _operators(func: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    graph = _traced(func, inputs).inlined_graph
    return [node.kind() for node in graph.nodes() if not node.kind().startswith("prim::")]


def _refusal(kind: str) -> str:
    """Why the compiler does not take this operator, or nothing."""
    if kind in DATA_DEPENDENT:
        return "its output's shape depends on data"
    if kind in UNSUPPORTED or kind.startswith("quantized::"):
        return "unsupported operator"
    return ""


def _traced(module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript, on which torch_neuronx 2.9 stands
        return torch.jit.trace(module, inputs, check_trace=False)


def _interface(tensors: Sequence[Tensor]) -> list[list[Any]]:
    return [[str(tensor.dtype), list(tensor.shape)] for tensor in tensors]


def _digest(func: nn.Module) -> str:
    found = hashlib.sha256()
    for tensor in func.state_dict().values():
        found.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _load_on_core(file: Any, *arguments: Any, **options: Any) -> Any:
    """torch.jit.load as it is once torch_neuronx is imported: it puts a trace on a core."""
    module = _torch_load(file, *arguments, **options)
    return _Loaded(module) if hasattr(module, "neff_interface") else module


_torch_load: Callable[..., Any] = vars(torch.jit)["load"]
vars(torch.jit)["load"] = _load_on_core
