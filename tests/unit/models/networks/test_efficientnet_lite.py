import pytest
import torch

from inferlab.models.networks.efficientnet_lite import EfficientNetLite0, SamePadding, from_package_names


@pytest.mark.parametrize("size", [32, 48, 112])
def test_logits_for_any_size(size: int) -> None:
    torch.set_num_threads(1)
    with torch.no_grad():
        assert EfficientNetLite0(10).eval()(torch.rand(2, 3, size, size)).shape == (2, 10)


def test_the_size_of_the_network_is_the_published_one() -> None:
    # 4,652,008 parameters with the head for 1,000 classes, as the package of weights states.
    assert sum(parameter.numel() for parameter in EfficientNetLite0(1000).parameters()) == 4_652_008


@pytest.mark.parametrize(
    ("size", "kernel", "expected"),
    # TensorFlow's SAME: even sizes get the odd row below and at the right.
    [(112, 3, (0, 1)), (112, 5, (1, 2)), (7, 5, (2, 2)), (7, 3, (1, 1))],
)
def test_padding_is_that_of_tensorflow(size: int, kernel: int, expected: tuple[int, int]) -> None:
    padded = SamePadding(kernel, stride=2)(torch.ones(1, 1, size, size))
    before, after = expected
    assert padded.shape[-1] == size + before + after
    assert padded[0, 0, :, size // 2].nonzero().min() == before


def test_names_of_the_package_become_those_of_the_module() -> None:
    package = {
        "_conv_stem.weight": 0,
        "_bn0.bias": 1,
        "_blocks.3._bn0.weight": 2,
        "_blocks.0._depthwise_conv.weight": 3,
        "_blocks.11._bn1.running_mean": 4,
        "_blocks.2._bn2.bias": 5,
        "_conv_head.weight": 6,
        "_bn1.weight": 7,
        "_fc.bias": 8,
    }
    renamed = from_package_names(package)  # type: ignore[arg-type]
    assert list(renamed) == [
        "stem.conv.weight",
        "stem.norm.bias",
        "blocks.3.expand.norm.weight",
        "blocks.0.depthwise.conv.weight",
        "blocks.11.depthwise.norm.running_mean",
        "blocks.2.project.norm.bias",
        "head.conv.weight",
        "head.norm.weight",
        "classifier.bias",
    ]
    assert list(renamed.values()) == list(range(9))
