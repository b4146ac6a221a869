import pytest
import torch
from torch import Tensor, nn

from inferlab.targets.cuda.semi_structured import is_2_4, use_2_4

AMPERE = (8, 0)


def halved(weight: Tensor) -> Tensor:
    """Every first two of four inputs zeroed."""
    return weight * torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(weight.shape[1] // 4)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.sparse = nn.Linear(8, 8)
        self.dense = nn.Linear(8, 8)
        self.small = nn.Linear(4, 2)
        with torch.no_grad():
            self.sparse.weight.copy_(halved(self.sparse.weight))
            self.small.weight.copy_(halved(self.small.weight))


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's conversion on a device that tiles 8 outputs and no fewer; it keeps the dense values."""

    def convert(weight: Tensor) -> Tensor:
        if weight.shape[0] < 8:
            raise RuntimeError("Error original_tensor.shape is not supported!")
        return weight.clone()

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", convert)


def test_the_pattern_is_told() -> None:
    weight = torch.ones(2, 8)
    assert not is_2_4(weight)
    assert is_2_4(halved(weight))
    assert not is_2_4(torch.cat([halved(weight[:, :4]), torch.ones(2, 4)], dim=1))
    assert not is_2_4(torch.zeros(2, 6))


def test_layers_that_torch_takes_are_converted(kernels: None) -> None:
    network = Network()
    sparse = use_2_4(network, AMPERE)
    assert (sparse.layers, sparse.zeroes, sparse.zeroes_used) == (1, 32 + 4, 32)
    assert sparse.share_used == pytest.approx(32 / 36)
    assert not network.sparse.weight.requires_grad
    assert network.dense.weight.requires_grad


@pytest.mark.parametrize("capability", [(7, 5), None])
def test_before_compute_capability_8_all_stays_dense(kernels: None, capability: tuple[int, int] | None) -> None:
    sparse = use_2_4(Network(), capability)
    assert (sparse.layers, sparse.share_used) == (0, 0)


def test_on_a_cpu_torch_itself_refuses() -> None:
    assert use_2_4(Network(), AMPERE).layers == 0
    assert use_2_4(nn.ReLU(), AMPERE).share_used == 0


@pytest.mark.hardware
def test_on_a_gpu_products_are_those_of_the_dense_weights() -> None:
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < AMPERE:
        pytest.skip("needs an NVIDIA GPU of compute capability 8.0 or later, and torch's CUDA build")
    layer = nn.Linear(128, 128)
    with torch.no_grad():
        layer.weight.copy_(halved(layer.weight))
    layer = layer.to("cuda", torch.float16)
    rows = torch.randn(64, 128, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        dense = layer(rows)
        assert use_2_4(layer, torch.cuda.get_device_capability()).layers == 1
        torch.testing.assert_close(layer(rows), dense, atol=1e-2, rtol=1e-2)
