import numpy as np
import pytest
import torch

from inferlab.errors import Unsupported
from inferlab.models.base import MODELS

NOOP = MODELS.get("noop").model_validate({"name": "noop", "family": "noop"})


@pytest.mark.parametrize("batch", [1, 5])
def test_gives_zeroes_of_the_declared_shape(batch: int) -> None:
    inputs = NOOP.preprocess(NOOP.example_samples(batch, seed=0))
    assert inputs["input_ids"].dtype == NOOP.inputs[0].dtype
    assert inputs["input_ids"].shape == (batch, *NOOP.inputs[0].shape)
    output = NOOP.architecture()(torch.from_numpy(inputs["input_ids"]))
    assert tuple(output.shape) == (batch, *NOOP.outputs[0].shape)
    assert not output.any()


@pytest.mark.parametrize("step", ["calibrate", "prune", "sparsify", "finetune"])
def test_refuses_what_needs_weights(step: str) -> None:
    with pytest.raises(Unsupported, match="noop has no weights to "):
        NOOP.refuse(step)


def test_has_no_quality() -> None:
    assert NOOP.quality_metric is None
    assert NOOP.labels == ()
    with pytest.raises(Unsupported, match="predicts nothing"):
        NOOP.predictions({"embedding": np.zeros((1, 384))})


def test_the_ordinary_body_carries_the_ids() -> None:
    inputs = NOOP.preprocess(NOOP.example_samples(1, seed=0))
    body = NOOP.plain_body().model_validate(NOOP.plain_encode(inputs))
    assert (NOOP.plain_decode(body)["input_ids"] == inputs["input_ids"]).all()
    assert NOOP.plain_answer({"embedding": np.zeros((1, 384), dtype=np.float32)}) == {"embedding": [0.0] * 384}
