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
IN_USE = " in use"
"""Behind the process id in the file of a core, once something ran on it."""
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
        self._locks: dict[int, IO[str]] = {}
        self._loads = 0

    def load(self) -> int:
        """The core that the next load is placed on: one visible core after another.

        Claims all of them unless this process has them. Raises RuntimeError where another process has one.
        """
        if self._pid is None:
            self._locks = {core: _claimed(core) for core in visible_cores()}
            self._pid = os.getpid()
        core = list(self._locks)[self._loads % len(self._locks)]
        self.check(core)
        self._loads += 1
        return core

    def check(self, core: int) -> None:
        """Raise RuntimeError in a process that was forked from the one that loaded, or for a core that is not its."""
        if self._pid != os.getpid():
            raise RuntimeError("Incompatible runtime state: NRT_STATE_CHILD")
        if core not in self._locks:
            raise RuntimeError(f"NeuronCore(s) not available - Requested:nc{core}-nc{core} Available:0")

    def execute(self, core: int, neff: str) -> None:
        """Note that a core is in use, for neuron-monitor, and write what a profile has where one is asked for."""
        self.check(core)
        stream = self._locks[core]
        if stream.tell() == len(str(self._pid)):
            stream.write(IN_USE)
            stream.flush()
        if os.environ.get("NEURON_RT_INSPECT_ENABLE") == "1":
            _write_profile(core, neff)

    def end(self) -> None:
        """Free the cores, as the end of the process does."""
        for stream in self._locks.values():
            stream.close()
        self._locks = {}


RUNTIME = _Runtime()


class _Loaded:
    """A loaded trace on a core: takes and gives CPU tensors, of the traced shapes and types alone."""

    def __init__(self, module: Any, core: int | None = None) -> None:
        self.module = module
        self._neff = bytes(module.neff_interface.tolist()).decode()
        self._core = RUNTIME.load() if core is None else core
        RUNTIME.check(self._core)

    def __call__(self, *tensors: Tensor) -> Any:
        RUNTIME.check(self._core)
        if _interface(tensors) != json.loads(self._neff):
            raise RuntimeError(f"inputs {_interface(tensors)} were not traced, {self._neff} were")
        RUNTIME.execute(self._core, self._neff)
        return self.module(*tensors)


class DataParallel:
    """A loaded trace on several cores, each of which takes an equal part of a batch; without dynamic batching."""

    def __init__(
        self,
        model: Any,
        device_ids: Sequence[int | str] | None = None,
        dim: int = 0,
        set_dynamic_batching: bool = True,
    ) -> None:
        if not isinstance(model, _Loaded):
            raise ValueError(f"DataParallel takes what torch_neuronx.trace gave, not {type(model).__name__}")
        if dim != 0 or set_dynamic_batching:
            raise RuntimeError("this stand-in splits the first dimension alone, and has no dynamic batching")
        visible = visible_cores()
        own = list(range(len(visible))) if device_ids is None else [_index(each) for each in device_ids]
        if not own or len(set(own)) != len(own) or not set(own) <= set(range(len(visible))):
            raise RuntimeError(f"device_ids {device_ids}: this process has cores 0 to {len(visible) - 1}")
        self.num_workers = 2 * len(own)
        self._loaded = [_Loaded(model.module, visible[index]) for index in own]

    def __call__(self, *tensors: Tensor) -> Any:
        if any(len(tensor) % len(self._loaded) for tensor in tensors):
            raise RuntimeError(f"a batch of {len(tensors[0])} is no multiple of {len(self._loaded)} cores")
        parts = zip(*(tensor.chunk(len(self._loaded)) for tensor in tensors), strict=True)
        outputs = [loaded(*part) for loaded, part in zip(self._loaded, parts, strict=True)]
        if isinstance(outputs[0], Tensor):
            return torch.cat(outputs)
        return tuple(torch.cat(each) for each in zip(*outputs, strict=True))


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
    """Trace a module for these shapes. Raises RuntimeError for what compiler or host refuse.

    Unless it is traced for another host it is loaded onto a core right away, as after torch.jit.load.
    """
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
    if not cpu_backend:
        RUNTIME.load()
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
        {"kind": kind, "failureAt": "neuronx-cc", "call": "", "opGraph": ""} for kind in kinds if _refusal(kind)
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
    if not count:
        raise RuntimeError("NeuronCore(s) not available - Requested:all Available:0")
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


def _index(device_id: int | str) -> int:
    """A core as DataParallel's device_ids name it, within the process: 1 or "nc:1"."""
    found = re.fullmatch(r"(?:nc:)?(\d+)", str(device_id))
    if found is None:
        raise ValueError(f"device_ids: {device_id!r} is neither a number nor 'nc:#'")
    return int(found[1])


def _write_profile(core: int, neff: str) -> None:
    """A NEFF and the trace of its first execution on a core, named and paired as documented; empty of events."""
    if os.environ.get("NEURON_RT_INSPECT_DEVICE_PROFILE", "0") not in {"1", "model"}:
        return
    folder = Path(os.environ.get("NEURON_RT_INSPECT_OUTPUT_DIR", "output"), f"fake_pid_{os.getpid()}")
    folder.mkdir(parents=True, exist_ok=True)
    number = int(hashlib.sha256(neff.encode()).hexdigest()[:12], 16)
    (folder / f"neff_{number}.neff").write_text(neff, encoding="utf-8")
    (folder / f"{number}_instid_0_vnc_{core}.ntff").touch()


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
        return vars(torch.jit)["trace"](module, inputs, check_trace=False)


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
