"""A strict stand-in for TensorRT 11's Python API: what inferlab calls of it, with its documented refusals.

It parses ONNX, and a plan computes on the CPU what the ONNX model says (by ONNX Runtime), between the addresses that it
is given. Facts: TensorRT 11 documentation, Python API, and its guides on strong typing and explicit quantization. There
are no flags for precisions: networks are strongly typed.
"""

import ctypes
import enum
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime

__version__ = "11.0.0+fake"
MAGIC = b"fake plan "
STREAM: Callable[[Callable[[], None]], None] = lambda run: run()  # noqa: E731
"""How work gets onto a stream: at once, unless a test records it."""


class _Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = _Severity

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: _Severity, msg: str) -> None:
        raise NotImplementedError


class BuilderFlag(enum.Enum):
    TF32 = enum.auto()
    SPARSE_WEIGHTS = enum.auto()


class ProfilingVerbosity(enum.Enum):
    LAYER_NAMES_ONLY = 0
    NONE = 1
    DETAILED = 2


class LayerInformationFormat(enum.Enum):
    ONELINE = 0
    JSON = 1


class _Network:
    model: Any = None


class _ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser:
    def __init__(self, network: _Network, logger: ILogger) -> None:
        self._network, self._errors = network, list[_ParserError]()
        _made(logger)

    def parse(self, model: bytes) -> bool:
        loaded = onnx.load_from_string(model)
        refused = _refused(loaded)
        if refused:
            self._errors.append(_ParserError(refused))
            return False
        self._network.model = loaded
        return True

    def get_error(self, index: int) -> _ParserError:
        return self._errors[index]


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        if not min == opt == max:
            raise ValueError("this stand-in compiles for one shape")
        self.shapes[input] = tuple(max)


class _Config:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.profiles: list[_Profile] = []

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(BuilderFlag(flag))

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self._logger = _made(logger)

    def create_network(self, flags: int = 0) -> _Network:
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        names = {each.name for each in network.model.graph.input}
        if not config.profiles or set(config.profiles[0].shapes) != names:
            self._logger.log(ILogger.Severity.ERROR, "Network has dynamic or shape inputs, but no optimization profile")
            return None
        head = {
            "shapes": config.profiles[0].shapes,
            "detailed": config.profiling_verbosity is ProfilingVerbosity.DETAILED,
            "tf32": BuilderFlag.TF32 in config.flags,
        }
        text = json.dumps(head).encode()
        return MAGIC + len(text).to_bytes(4, "big") + text + bytes(network.model.SerializeToString())


class _Inspector:
    def __init__(self, engine: "_Engine") -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        if LayerInformationFormat(format) is not LayerInformationFormat.JSON:
            raise ValueError("this stand-in writes JSON")
        nodes = self._engine.model.graph.node
        if not self._engine.detailed:
            return json.dumps({"Layers": [node.name for node in nodes], "I/O Tensors": []})
        rounded = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
        layers = [
            {
                "Name": node.name,
                "Inputs": [{"Name": name, "DataType": "Int8" if name in rounded else "Float"} for name in node.input],
            }
            for node in nodes
            if not node.op_type.endswith("Linear")
        ]
        return json.dumps({"Layers": layers, "I/O Tensors": []})


class _Engine:
    def __init__(self, logger: ILogger, head: dict[str, Any], model: bytes) -> None:
        self.logger = logger
        self.shapes = {name: tuple(shape) for name, shape in head["shapes"].items()}
        self.detailed, self.tf32 = head["detailed"], head["tf32"]
        self.model = onnx.load_from_string(model)
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def create_execution_context(self) -> "_Context":
        return _Context(self)

    def create_engine_inspector(self) -> _Inspector:
        return _Inspector(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if self._engine.shapes.get(name) != tuple(shape):
            return self._no(f"setInputShape: {name} {tuple(shape)} is outside the optimization profile")
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        known = {each.name for each in (*self._engine.session.get_inputs(), *self._engine.session.get_outputs())}
        if name not in known:
            return self._no(f"setTensorAddress: {name} is no tensor of the engine")
        self._addresses[name] = int(memory)
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        inputs, outputs = self._engine.session.get_inputs(), self._engine.session.get_outputs()
        unset = [each.name for each in (*inputs, *outputs) if each.name not in self._addresses]
        unset += [each.name for each in inputs if each.name not in self._shapes]
        if unset:
            return self._no(f"enqueueV3: no address or shape for {unset[0]}")
        addresses = dict(self._addresses)

        def run() -> None:
            feeds = {each.name: _memory(addresses[each.name], self._shapes[each.name], each.type) for each in inputs}
            for each, value in zip(outputs, self._engine.session.run(None, feeds), strict=True):
                _memory(addresses[each.name], value.shape, each.type)[...] = value

        STREAM(run)
        return True

    def _no(self, text: str) -> bool:
        self._engine.logger.log(ILogger.Severity.ERROR, text)
        return False


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = _made(logger)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> _Engine | None:
        if not serialized_engine.startswith(MAGIC):
            self._logger.log(ILogger.Severity.ERROR, "Serialization assertion magicTagRead == kMAGIC_TAG failed")
            return None
        body = serialized_engine[len(MAGIC) :]
        end = 4 + int.from_bytes(body[:4], "big")
        return _Engine(self._logger, json.loads(body[4:end]), body[end:])


def _made(logger: ILogger) -> ILogger:
    """Raise TypeError where a logger of one's own did not call the base class, as the binding does."""
    if not getattr(logger, "_made", False):
        raise TypeError("ILogger.__init__() must be called when overriding __init__")
    return logger


def _refused(model: Any) -> str:
    """What TensorRT's parser says against explicit quantization that is not its own."""
    zeroes = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            continue
        zero_point = zeroes[node.input[2]]
        if zero_point.dtype != np.int8:
            return f"{node.name}: the zero point is {zero_point.dtype}, TensorRT quantizes to signed int8"
        if zero_point.any():
            return f"{node.name}: TRT only supports symmetric quantization, the zero point must be all zeros"
    return ""


def _memory(address: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The tensor that lies there, to read and to write."""
    items: dict[str, Any] = {
        "tensor(float)": ctypes.c_float,
        "tensor(int64)": ctypes.c_int64,
        "tensor(int32)": ctypes.c_int32,
    }
    item = items[kind]
    flat: np.ndarray = np.ctypeslib.as_array((item * int(np.prod(shape))).from_address(address))
    return flat.reshape(shape)
