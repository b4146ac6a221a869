import numpy as np
import pytest
import torch
from torch import Tensor

from inferlab.models.base import Model
from inferlab.targets.cuda.sessions import StaticSession, why_no_graphs
from targets.fake_cuda import FakeCuda
from targets.tiny import expected


def run_of(model: Model) -> torch.nn.Module:
    return model.pretrained()


def test_graphs_are_recorded_once_and_replayed_with_the_batch_at_hand(cuda: FakeCuda, tiny: Model) -> None:
    session = StaticSession(tiny, {1: run_of(tiny), 4: run_of(tiny)}, "cpu", graphs=True)
    assert cuda.calls == ["synchronize", "stream.synchronize", "graph"] * 2  # first what is read is there
    for batch, seed in ((1, 3), (3, 4), (4, 5)):
        inputs = tiny.preprocess(tiny.example_samples(batch, seed=seed))
        np.testing.assert_allclose(session.run(inputs)["logits"], expected(tiny, inputs), atol=1e-5)
    assert cuda.calls.count("graph") == 2
    assert cuda.calls[-6:] == ["replay", "stream.synchronize"] * 3
    with pytest.raises(ValueError, match="allowed: 1 to 4"):
        session.run(tiny.preprocess(tiny.example_samples(5, seed=3)))
    session.close()
    assert cuda.calls[-3:] == ["reset", "reset", "empty_cache"]
    with pytest.raises(ValueError, match="the session is closed"):
        session.run(tiny.preprocess(tiny.example_samples(1, seed=3)))


def test_an_answer_is_the_callers_own(cuda: FakeCuda, tiny: Model) -> None:
    session = StaticSession(tiny, {2: run_of(tiny)}, "cpu", graphs=True)
    first = session.run(tiny.preprocess(tiny.example_samples(2, seed=3)))["logits"]
    kept = first.copy()
    session.run(tiny.preprocess(tiny.example_samples(2, seed=4)))
    np.testing.assert_array_equal(first, kept)


def test_without_graphs_the_device_is_waited_for_as_well(cuda: FakeCuda, tiny: Model) -> None:
    session = StaticSession(tiny, {2: run_of(tiny)}, "cpu", graphs=False)
    cuda.calls.clear()
    inputs = tiny.preprocess(tiny.example_samples(2, seed=3))
    logits = expected(tiny, inputs)
    inputs["picture"].flags.writeable = False  # as over the bytes of a request
    np.testing.assert_allclose(session.run(inputs)["logits"], logits, atol=1e-5)
    assert cuda.calls == ["stream.synchronize"]


def test_what_reads_back_from_the_device_cannot_be_a_graph(cuda: FakeCuda, tiny: Model) -> None:
    module = run_of(tiny)

    def depends_on_data(picture: Tensor) -> Tensor:
        return module(picture) * (2 if picture.sum().item() > 0 else 1)

    assert why_no_graphs(tiny, {1: module}, "cpu") == ""
    refused = why_no_graphs(tiny, {1: depends_on_data}, "cpu")
    assert refused == "CUDA error: operation not permitted when stream is capturing"
