from typing import Any

import numpy as np
import pytest
import torch

from inferlab.errors import Unsupported
from inferlab.models.base import MODELS, Model

ROWS: dict[str, dict[str, Any]] = {"resnet": {"image_size_px": 32}, "bert": {"sequence_length": 8}, "gemm": {"rows": 4}}


@pytest.fixture(params=sorted(ROWS))
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS.get(request.param).model_validate({"name": "m", "family": request.param, **ROWS[request.param]})


def test_gives_logits_of_the_declared_shape(model: Model) -> None:
    inputs = model.preprocess(model.example_samples(2, seed=0))
    for spec in model.inputs:
        assert (inputs[spec.name].dtype, inputs[spec.name].shape) == (spec.dtype, (2, *spec.shape))
    with torch.inference_mode():
        logits = model.pretrained()(*(torch.from_numpy(inputs[spec.name]) for spec in model.inputs))
    assert logits.shape == (2, *model.outputs[0].shape)
    assert logits.isfinite().all()
    assert logits.std() > 0


def test_weights_are_the_same_each_time_and_no_others_are_drawn(model: Model) -> None:
    state = torch.random.get_rng_state()
    first, second = (model.pretrained().state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(state, torch.random.get_rng_state())


def test_has_no_quality(model: Model) -> None:
    assert (model.quality_metric, model.labels) == (None, ())
    with pytest.raises(Unsupported, match="predicts nothing"):
        model.predictions({"logits": np.zeros((1, 1000))})
    with pytest.raises(Unsupported, match="no data to fit"):
        model.refuse("finetune")


def test_the_ordinary_body_carries_the_inputs(model: Model) -> None:
    inputs = model.preprocess(model.example_samples(1, seed=0))
    body = model.plain_body().model_validate(model.plain_encode(inputs))
    decoded = model.plain_decode(body)
    for name, array in inputs.items():
        np.testing.assert_array_equal(decoded[name], array)
    answer = model.plain_answer({"logits": np.zeros((1, 1000), dtype=np.float32)})
    assert model.plain_response().model_validate(answer).model_dump() == {"logits": [0.0] * 1000}


@pytest.mark.parametrize(("picture", "message"), [("!", "not base64"), ("AAAA", "3 bytes are not allowed")])
def test_a_wrong_picture_is_refused(picture: str, message: str) -> None:
    resnet = MODELS.get("resnet").model_validate({"name": "m", "family": "resnet", "image_size_px": 32})
    with pytest.raises(ValueError, match=f"picture: {message}"):
        resnet.plain_decode(resnet.plain_body().model_validate({"picture": picture}))
