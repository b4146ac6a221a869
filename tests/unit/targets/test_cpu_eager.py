import numpy as np
import pytest
import torch

from inferlab.models.base import Model
from inferlab.targets.cpu_eager import CpuEager
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.tiny import expected


def test_the_session_gives_what_the_module_gives(tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cpu-eager")
    session = SessionFactory(folder, tiny, cores=(0,))()
    inputs = tiny.preprocess(tiny.example_samples(5, seed=3))
    np.testing.assert_array_equal(session.run(inputs)["logits"], expected(tiny, inputs))
    assert record.engagement is not None
    assert (record.engagement.operators, record.engagement.low_precision_operators) == (2, 0)
    assert set(record.files) == {"module.safetensors", "structure.json"}


def test_arrays_over_the_bytes_of_a_request_are_taken(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-eager")
    inputs = tiny.preprocess(tiny.example_samples(1, seed=3))
    received = np.frombuffer(inputs["picture"].tobytes(), dtype=np.float32).reshape(inputs["picture"].shape)
    session = SessionFactory(folder, tiny, cores=(0,))()
    np.testing.assert_array_equal(session.run({"picture": received})["logits"], expected(tiny, inputs))


def test_bf16_computes_in_bf16_and_answers_in_fp32(tiny: Model, compile_tiny: Compile) -> None:
    folder, record = compile_tiny("cpu-eager", "bf16")
    inputs = tiny.preprocess(tiny.example_samples(2, seed=3))
    logits = SessionFactory(folder, tiny, cores=(0,))().run(inputs)["logits"]
    assert logits.dtype == np.float32
    assert np.array_equal(logits, torch.from_numpy(logits).to(torch.bfloat16).float().numpy())
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05)
    assert record.engagement is not None
    assert record.engagement.low_precision_operator_share == 1.0


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic", "weight-only"])
def test_int8_is_unsupported_with_the_reason(compile_tiny: Compile, precision: str) -> None:
    _, record = compile_tiny("cpu-eager", precision)
    assert record.outcome == "unsupported"
    assert "PyTorch eager" in record.reason
    assert record.files == {}


def test_loading_sets_a_thread_for_each_core(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-eager")
    SessionFactory(folder, tiny, cores=(0, 1))()
    assert torch.get_num_threads() == 2
    assert torch.get_num_interop_threads() == 1


def test_a_closed_session_runs_nothing(tiny: Model, compile_tiny: Compile) -> None:
    folder, _ = compile_tiny("cpu-eager")
    session = SessionFactory(folder, tiny, cores=(0,))()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))


def test_without_pytorch_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_eager.find_spec", lambda name: None)
    here = CpuEager().probe()
    assert (here.available, here.reason) == (False, "PyTorch is not installed")
