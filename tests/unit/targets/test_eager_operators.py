import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from inferlab.targets.eager_operators import operator_evidence
from inferlab.targets.operators import OperatorEvidence


class HalfInFp32(nn.Module):
    """Two equal products, of which the second computes in fp32 whatever its weights are stored in."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(8, 8, bias=False) for _ in range(2))

    def forward(self, rows: Tensor) -> Tensor:
        return self.first(rows).float() @ self.second.weight.float()


def called(module: nn.Module, *inputs: Tensor) -> OperatorEvidence:
    with torch.inference_mode():
        return operator_evidence(lambda: module(*inputs))


def test_an_operator_that_computes_in_fp32_is_counted_as_such_whatever_was_asked_for() -> None:
    module = HalfInFp32().to(torch.bfloat16)
    found = called(module, torch.ones(4, 8, dtype=torch.bfloat16))
    assert (found.operators, found.low_precision_operators, found.low_precision_mac_share) == (2, 1, 0.5)


@pytest.mark.parametrize(("dtype", "low"), [(torch.float32, 0), (torch.bfloat16, 2)])
def test_convolutions_and_products_are_counted_in_the_type_that_they_have(dtype: torch.dtype, low: int) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5)).to(dtype)
    found = called(module, torch.ones(1, 3, 4, 4, dtype=dtype))
    assert (found.operators, found.low_precision_operators) == (2, low)
    assert found.low_precision_mac_share == (1.0 if low else 0.0)


class Attention(nn.Module):
    """Attention of 2 heads in bf16, then a product of as many MACs in fp32."""

    def forward(self, rows: Tensor, weights: Tensor) -> Tensor:
        low = rows.to(torch.bfloat16)
        return scaled_dot_product_attention(low, low, low).float() @ weights


def test_fused_attention_is_one_operator_with_the_macs_of_its_two_products() -> None:
    rows, weights = torch.ones(1, 2, 16, 8), torch.ones(8, 32)
    found = called(Attention(), rows, weights)
    assert (found.operators, found.low_precision_operators) == (2, 1)
    # 2 x 16 x 16 x (8 + 8) of attention, and as many of 2 x 16 rows with [8, 32].
    assert found.low_precision_mac_share == 0.5


def test_without_compute_operators_there_is_no_share() -> None:
    assert called(nn.ReLU(), torch.ones(2)) == OperatorEvidence(0, 0, None)
