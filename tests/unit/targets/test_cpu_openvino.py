import contextlib
import os
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from inferlab.child import Child
from inferlab.errors import Unsupported
from inferlab.models.base import MODELS, Model
from inferlab.optimize.export import export_program
from inferlab.targets.compiling import compile_artifact
from inferlab.targets.cpu_openvino import CpuOpenVino
from inferlab.targets.instructions import flags_here, has_bf16, has_vnni
from inferlab.targets.loading import SessionFactory
from inferlab.targets.openvino_network import import_openvino
from inferlab.targets.source import PROGRAM_FILE, Source
from targets.conftest import Compile
from targets.tiny import TinyModel, expected, optimized
from targets.tiny_attention import TinyEncoder, write_encoder


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_batches_of_any_size_up_to_the_largest(tiny: Model, compile_tiny: Compile, batch: int) -> None:
    folder, record = compile_tiny("cpu-openvino")
    assert record.batch_sizes == (1, 4)
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(batch, seed=3))
    logits = session.run(inputs)["logits"]
    assert logits.shape == (batch, 4)
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=1e-5)


def test_a_model_without_operators_has_nothing_to_compile(tmp_path: Path) -> None:
    import torch

    noop = MODELS.get("noop")(name="noop", family="noop")
    example = tuple(torch.from_numpy(array) for array in noop.preprocess(noop.example_samples(2, seed=1)).values())
    export_program(noop.architecture(), tuple(spec.name for spec in noop.inputs), example, tmp_path / PROGRAM_FILE)
    with pytest.raises(Unsupported, match="noop has no convolution or matrix product"):
        CpuOpenVino().compile(noop, Source(noop, tmp_path), "fp32", None, (1,), tmp_path)


def test_a_larger_batch_is_refused(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-openvino")
    session = SessionFactory(folder, tiny, cores=(0,))()
    with pytest.raises(ValueError, match="a batch of 5 is not allowed; allowed: 1 to 4"):
        session.run(tiny.preprocess(tiny.example_samples(5, seed=3)))


def test_outputs_belong_to_the_caller(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-openvino")
    session = SessionFactory(folder, tiny, cores=(0,))()
    first = session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))["logits"]
    kept = first.copy()
    session.run(tiny.preprocess(tiny.example_samples(1, seed=4)))
    np.testing.assert_array_equal(first, kept)


def test_inputs_are_taken_as_they_come(tiny: Model, compile_tiny: Compile) -> None:
    """Read-only, of another type, and not contiguous."""
    folder, _ = compile_tiny("cpu-openvino")
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    picture = inputs["picture"]
    read_only = np.frombuffer(picture.tobytes(), dtype=np.float32).reshape(picture.shape)
    for array in (read_only, picture.astype(np.float64), np.asfortranarray(picture)):
        np.testing.assert_allclose(session.run({"picture": array})["logits"], expected(tiny, inputs), atol=1e-5)


def test_int8_engages_and_keeps_the_labels(tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cpu-openvino", "int8-static")
    assert record.engagement is not None
    assert record.engagement.operators == 2
    assert record.engagement.low_precision_operators >= 1
    assert record.engagement.low_precision_mac_share is not None
    assert record.engagement.low_precision_mac_share > 0.9
    assert set(record.versions) == {"openvino", "nncf", "torch"}
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    logits = SessionFactory(folder, tiny, cores=(0,))().run(inputs)["logits"]
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)


def test_fp32_stays_fp32(tiny: Model, compile_tiny: Compile) -> None:
    """Also on CPUs where OpenVINO would choose bf16."""
    folder, record = compile_tiny("cpu-openvino")
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 0)
    assert (folder / "model.bin").stat().st_size >= 4 * (8 * 27 + 8 + 4 * 8 + 4)


def test_int8_dynamic_rounds_the_activations_of_linear_layers(tmp_path: Path) -> None:
    model = TinyEncoder()
    write_encoder(model, tmp_path / "optimized")
    folder = tmp_path / "artifact"
    record = compile_artifact(model, optimized("int8-dynamic"), tmp_path / "optimized", "cpu-openvino", (1, 4), folder)
    assert record.engagement is not None
    if has_vnni(flags_here()):
        assert record.engagement.low_precision_operators == 5
    inputs = model.preprocess(model.example_samples(3, seed=3))
    logits = SessionFactory(folder, model, cores=(0,))().run(inputs)["logits"]
    np.testing.assert_allclose(logits, expected(model, inputs), atol=0.05)
    assert not np.allclose(logits, expected(model, inputs), atol=1e-5)


def test_bf16_engages_where_the_cpu_has_it(tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cpu-openvino", "bf16")
    if not has_bf16(flags_here()):
        assert (record.outcome, "no bf16 instructions" in record.reason) == ("unsupported", True)
        return
    assert record.engagement is not None
    assert record.engagement.low_precision_operators >= 1
    inputs = tiny.preprocess(tiny.example_samples(4, seed=3))
    logits = SessionFactory(folder, tiny, cores=(0,))().run(inputs)["logits"]
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)


def test_int8_without_calibration_is_unsupported(tiny: Model, optimized_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="needs calibration data"):
        CpuOpenVino().compile(tiny, Source(tiny, optimized_dir), "int8-static", None, (1,), tmp_path)


def affinities(connection: Connection, folder: Path, core: int) -> None:
    """Send the cores of every thread, once a thread that did not load the session has called `run`, as batchers do."""
    session = SessionFactory(folder, TinyModel(), cores=(core,))()
    inputs = TinyModel().preprocess(TinyModel().example_samples(4, seed=3))
    caller = threading.Thread(target=session.run, args=(inputs,))
    caller.start()
    caller.join()
    session.run(inputs)
    masks = []
    for path in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # the caller's thread may be on its way out
            masks.append(os.sched_getaffinity(int(path.name)))
    connection.send(masks)


def test_threads_stay_on_the_cores_of_the_process(compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-openvino")
    core = min(os.sched_getaffinity(0))
    child = Child("session", affinities, (folder, core), (core,))
    try:
        masks = child.receive(60, "running")
    finally:
        child.stop(grace_s=5)
    assert len(masks) > 1
    assert all(mask == {core} for mask in masks)


def test_telemetry_cannot_be_imported() -> None:
    import_openvino()
    assert sys.modules["openvino_telemetry"] is None
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def test_a_closed_session_frees_its_requests(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-openvino")
    session = SessionFactory(folder, tiny, cores=(0,))()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))
