import torch
from torch import nn

from inferlab.models.networks.resnet import Bottleneck, ResNet50, take_statistics


def test_the_size_is_that_of_torchvisions() -> None:
    with torch.device("meta"):
        module = ResNet50(1000)
    assert sum(parameter.numel() for parameter in module.parameters()) == 25_557_032


def test_a_block_with_a_stride_halves_the_picture_and_widens_it() -> None:
    torch.set_num_threads(1)
    block = Bottleneck(16, 8, 2).eval()
    assert block(torch.zeros(1, 16, 8, 8)).shape == (1, 32, 4, 4)


def test_statistics_are_those_of_the_pictures() -> None:
    torch.set_num_threads(1)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    pictures = torch.randn(8, 3, 6, 6) * 5 + 2
    take_statistics(module, pictures)
    assert not module.training
    assert module[1].momentum == 0.1
    with torch.no_grad():
        normalized = module(pictures)
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalized.var(dim=(0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)
