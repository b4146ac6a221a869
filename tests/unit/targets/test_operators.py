from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from inferlab.targets.operators import OperatorEvidence, compute_operators, engagement_of, has_attention
from targets.tiny import TinyNetwork, optimized


class Attention(nn.Module):
    def forward(self, query: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, query, query) @ query.transpose(-1, -2)


def test_compute_operators_are_those_that_multiply_and_accumulate() -> None:
    program = torch.export.export(TinyNetwork().eval(), (torch.zeros(1, 3, 8, 8),))
    assert compute_operators(program) == ["conv2d", "linear"]
    assert not has_attention(compute_operators(program))


def test_attention_is_recognized() -> None:
    program = torch.export.export(Attention(), (torch.zeros(1, 2, 4, 8),))
    assert compute_operators(program) == ["scaled_dot_product_attention", "matmul"]
    assert has_attention(compute_operators(program))


def test_shares_are_of_all_compute_operators() -> None:
    evidence = OperatorEvidence(operators=4, low_precision_operators=3, low_precision_mac_share=0.9, note="seen")
    engagement = engagement_of(evidence, optimized("int8-static", macs=70, macs_original=100))
    assert engagement.low_precision_operator_share == 0.75
    assert engagement.low_precision_mac_share == 0.9
    assert engagement.macs_removed_share == pytest.approx(0.3)
    assert engagement.note == "seen"


def test_what_kernels_skip_of_the_zeroed_weights_is_noted_where_it_is_not_all() -> None:
    dense = OperatorEvidence(operators=4, low_precision_operators=0, low_precision_mac_share=0.0)
    sparse = replace(dense, sparse_kernels=True, zeroed_weight_used_share=1.0)
    partly = replace(sparse, zeroed_weight_used_share=0.4)
    assert engagement_of(dense, optimized(sparsity=0.5)).zeroed_weight_share == 0.5
    assert engagement_of(sparse, optimized(sparsity=0.5)).note == ""
    assert engagement_of(partly, optimized(sparsity=0.5)).note == "kernels skip 40% of the zeroed weights"
    assert engagement_of(partly, optimized(sparsity=0.5)).zeroed_weight_used_share == 0.4


def test_a_model_without_compute_operators_has_shares_of_zero() -> None:
    evidence = OperatorEvidence(operators=0, low_precision_operators=0, low_precision_mac_share=None)
    assert engagement_of(evidence, optimized()).low_precision_operator_share == 0.0
