import contextlib
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch

from inferlab.child import Child
from inferlab.errors import Unsupported
from inferlab.models.base import MODELS, Model
from inferlab.optimize.export import export_program
from inferlab.targets.cpu_onnxruntime import CpuOnnxRuntime
from inferlab.targets.loading import SessionFactory
from inferlab.targets.source import PROGRAM_FILE, Source
from targets.conftest import Compile
from targets.tiny import TinyModel, expected
from targets.tiny_attention import TinyEncoder, write_encoder


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_the_session_gives_what_the_module_gives(tiny: Model, compile_tiny: Compile, batch: int) -> None:
    folder, record = compile_tiny("cpu-onnxruntime")
    assert (record.outcome, record.provenance, set(record.files)) == ("measured", "hardware", {"model.onnx"})
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
    logits = session.run(inputs)["logits"]
    assert logits.shape == (batch, 4)
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=1e-5)


def test_fp32_stays_fp32(compile_tiny: Compile) -> None:
    _, record = compile_tiny("cpu-onnxruntime")
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 0)
    assert record.engagement.low_precision_mac_share == 0.0
    assert set(record.versions) == {"onnxruntime", "onnx", "onnxscript", "torch"}


def test_int8_engages_and_keeps_the_labels(tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cpu-onnxruntime", "int8-static")
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 2)
    assert record.engagement.low_precision_mac_share == 1.0
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    logits = SessionFactory(folder, tiny, cores=(0,))().run(inputs)["logits"]
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)


def test_int8_dynamic_leaves_convolutions_as_they_are(tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cpu-onnxruntime", "int8-dynamic")
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 1)
    assert record.engagement.low_precision_mac_share is not None
    assert 0 < record.engagement.low_precision_mac_share < 0.1
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    logits = SessionFactory(folder, tiny, cores=(0,))().run(inputs)["logits"]
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)


def test_products_with_weights_of_a_transformer_are_quantized(tmp_path: Path) -> None:
    """And attention, which has no weights of its own, stays fp32."""
    model = TinyEncoder()
    write_encoder(model, tmp_path / "optimized")
    source = Source(model, tmp_path / "optimized")
    for precision, calibration in (("int8-static", source.calibration), ("int8-dynamic", None)):
        out_dir = tmp_path / precision
        out_dir.mkdir()
        built = CpuOnnxRuntime().compile(model, source, precision, calibration, (1,), out_dir)  # type: ignore[arg-type]
        assert (built.operators.operators, built.operators.low_precision_operators) == (7, 5), precision


def test_bf16_is_unsupported_with_the_reason(compile_tiny: Compile) -> None:
    _, record = compile_tiny("cpu-onnxruntime", "bf16")
    assert record.outcome == "unsupported"
    assert "no bf16" in record.reason


def test_int8_without_calibration_is_unsupported(tiny: Model, optimized_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="needs calibration data"):
        CpuOnnxRuntime().compile(tiny, Source(tiny, optimized_dir), "int8-static", None, (1,), tmp_path)


def test_a_model_without_operators_runs(tmp_path: Path) -> None:
    noop = MODELS.get("noop")(name="noop", family="noop")
    inputs = noop.preprocess(noop.example_samples(2, seed=1))
    example = tuple(torch.from_numpy(array) for array in inputs.values())
    export_program(noop.architecture(), tuple(spec.name for spec in noop.inputs), example, tmp_path / PROGRAM_FILE)
    out_dir = tmp_path / "artifact"
    out_dir.mkdir()
    built = CpuOnnxRuntime().compile(noop, Source(noop, tmp_path), "fp32", None, (1,), out_dir)
    assert built.operators.operators == 0


def test_inputs_are_taken_as_they_come(tiny: Model, compile_tiny: Compile) -> None:
    """Read-only, of another type, and not contiguous."""
    folder, _ = compile_tiny("cpu-onnxruntime")
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    picture = inputs["picture"]
    read_only = np.frombuffer(picture.tobytes(), dtype=np.float32).reshape(picture.shape)
    for array in (read_only, picture.astype(np.float64), np.asfortranarray(picture)):
        np.testing.assert_allclose(session.run({"picture": array})["logits"], expected(tiny, inputs), atol=1e-5)


def test_outputs_belong_to_the_caller(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-onnxruntime")
    session = SessionFactory(folder, tiny, cores=(0,))()
    first = session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))["logits"]
    kept = first.copy()
    session.run(tiny.preprocess(tiny.example_samples(1, seed=4)))
    np.testing.assert_array_equal(first, kept)


def threads_of(connection: Connection, folder: Path, cores: tuple[int, ...]) -> None:
    """Send the cores of every thread, and how many threads the session brought, once a batch has run."""
    before = len(list(Path("/proc/self/task").iterdir()))
    session = SessionFactory(folder, TinyModel(), cores=cores)()
    inputs = TinyModel().preprocess(TinyModel().example_samples(4, seed=3))
    caller = threading.Thread(target=session.run, args=(inputs,))
    caller.start()
    caller.join()
    masks = []
    for path in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # the caller's thread may be on its way out
            masks.append(os.sched_getaffinity(int(path.name)))
    connection.send((masks, len(masks) - before))


def test_threads_stay_on_the_cores_of_the_process(compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-onnxruntime")
    core = min(os.sched_getaffinity(0))
    child = Child("session", threads_of, (folder, (core, core)), (core,))
    try:
        masks, brought = child.receive(60, "running")
    finally:
        child.stop(grace_s=5)
    assert all(mask == {core} for mask in masks)
    assert brought >= 1


def test_without_the_engine_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_onnxruntime.find_spec", lambda name: None)
    here = CpuOnnxRuntime().probe()
    assert (here.available, here.reason) == (False, "ONNX Runtime is not installed")


def test_a_closed_session_runs_nothing(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-onnxruntime")
    session = SessionFactory(folder, tiny, cores=(0,))()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))
