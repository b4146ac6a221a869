import torch
from torch import nn

from inferlab.optimize.macs import computing_layers, macs_per_item, parameter_count, zero_share


class Attention(nn.Module):
    def forward(self, query: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(query, query, query)


def test_convolution_and_matrix_product_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 25, 7))
    # 5 x 5 places, 4 x 3 x 3 x 3 products each; then 100 x 7. Whatever the batch.
    for batch in (1, 3):
        assert macs_per_item(module, (torch.rand(batch, 3, 5, 5),)) == 25 * 4 * 27 + 700


def test_attention_counts_both_of_its_products() -> None:
    assert macs_per_item(Attention(), (torch.rand(2, 4, 10, 8),)) == 2 * 4 * 10 * 10 * 8


def test_a_module_that_computes_nothing_has_no_macs() -> None:
    assert macs_per_item(nn.Identity(), (torch.rand(1, 3),)) == 0
    assert zero_share(nn.Identity()) == 0.0


def test_zeroes_are_counted_in_computing_layers_alone() -> None:
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    nn.init.ones_(module[1].weight)
    with torch.no_grad():
        module[0].weight.zero_()
        module[1].weight[0, :2] = 0
    assert list(computing_layers(module)) == ["1"]
    assert zero_share(module) == 2 / 8
    assert parameter_count(module) == 20 + 8 + 2 + 4
