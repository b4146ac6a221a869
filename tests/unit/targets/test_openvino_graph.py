import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inferlab.targets.openvino_graph import operator_evidence
from inferlab.targets.openvino_network import compile_network, import_openvino

TOKENS, WIDTH = 16, 32


class Attention(nn.Module):
    """Three projections of 16 * 32 * 32 MACs each, and attention of 2 * 16 * 16 * 32."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = (
            part(hidden).view(-1, TOKENS, 2, WIDTH // 2).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed: Tensor = nn.functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(-1, TOKENS, WIDTH)


class Convolutions(nn.Module):
    """A full convolution of 8 * 3 * 9 * 64 MACs, a depthwise one of 8 * 9 * 64, one transposed of 8 * 4 * 64."""

    def __init__(self) -> None:
        super().__init__()
        self.full = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.transposed = nn.ConvTranspose2d(8, 1, 2, stride=2)

    def forward(self, picture: Tensor) -> Tensor:
        transposed: Tensor = self.transposed(torch.relu(self.depthwise(torch.relu(self.full(picture)))))
        return transposed


def network_of(module: nn.Module, shape: tuple[int, ...]) -> Any:
    program = torch.export.export(module.eval(), (torch.zeros(shape),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = import_openvino().convert_model(program)
    network.reshape({network.inputs[0]: list(shape)})
    return network


def evidence_of(network: Any, precision: Any) -> Any:
    compiled = compile_network(import_openvino(), network, precision, threads=1)
    return operator_evidence(network, compiled.get_runtime_model())


def test_attention_counts_once_and_in_fp32() -> None:
    evidence = evidence_of(network_of(Attention(), (1, TOKENS, WIDTH)), "fp32")
    assert (evidence.operators, evidence.low_precision_operators) == (4, 0)
    assert evidence.low_precision_mac_share == 0.0


def test_every_kind_of_convolution_counts() -> None:
    evidence = evidence_of(network_of(Convolutions(), (1, 3, 8, 8)), "fp32")
    assert (evidence.operators, evidence.low_precision_operators) == (3, 0)
    assert evidence.low_precision_mac_share == 0.0


def test_bf16_engages_where_the_cpu_has_it() -> None:
    if "BF16" not in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16 instructions")
    evidence = evidence_of(network_of(Attention(), (1, TOKENS, WIDTH)), "bf16")
    assert evidence.low_precision_operators >= 3
    assert evidence.low_precision_mac_share >= 3 * TOKENS * WIDTH * WIDTH / (
        3 * TOKENS * WIDTH * WIDTH + 2 * TOKENS * TOKENS * WIDTH
    )


def test_attention_with_quantized_scores_only_counts_as_fp32() -> None:
    import nncf

    network = network_of(Attention(), (1, TOKENS, WIDTH))
    items = [{0: torch.randn(1, TOKENS, WIDTH).numpy()} for _ in range(8)]
    quantized = nncf.quantize(network, nncf.Dataset(items), subset_size=8, model_type=nncf.ModelType.TRANSFORMER)
    evidence = evidence_of(quantized, "int8-static")
    assert (evidence.operators, evidence.low_precision_operators) == (4, 3)
    linear, attention = 3 * TOKENS * WIDTH * WIDTH, 2 * TOKENS * TOKENS * WIDTH
    assert evidence.low_precision_mac_share == pytest.approx(linear / (linear + attention))
    assert "counted as fp32" in evidence.note
