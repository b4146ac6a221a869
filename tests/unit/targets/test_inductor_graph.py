import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from inferlab.targets.inductor_graph import ATTENTION, operator_evidence
from targets.tiny import TinyNetwork

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # torch decomposes with what it deprecates


class Grouped(nn.Module):
    """A convolution of two groups, then attention over its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, groups=2)

    def forward(self, picture: Tensor) -> Tensor:
        pixels = self.conv(picture).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
        return nn.functional.scaled_dot_product_attention(pixels, pixels, pixels)


def lowered(module: nn.Module, example: Tensor) -> ExportedProgram:
    """The operators that Inductor starts from: those of PyTorch's core, and attention as one."""
    table = torch.export.default_decompositions()
    table.pop(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default)
    return torch.export.export(module.eval(), (example,)).run_decompositions(table)


def test_operators_are_counted() -> None:
    evidence = operator_evidence(lowered(TinyNetwork(), torch.zeros(2, 3, 8, 8)).graph)
    assert (evidence.operators, evidence.low_precision_operators) == (2, 0)
    assert evidence.low_precision_mac_share == 0.0


def test_operators_on_bf16_are_low_precision() -> None:
    module = TinyNetwork().to(torch.bfloat16)
    evidence = operator_evidence(lowered(module, torch.zeros(2, 3, 8, 8, dtype=torch.bfloat16)).graph)
    assert (evidence.operators, evidence.low_precision_operators) == (2, 2)
    assert evidence.low_precision_mac_share == 1.0


def test_macs_are_those_of_convolution_and_attention() -> None:
    class Mixed(Grouped):
        """As `Grouped` in bf16, then a product in fp32."""

        def forward(self, picture: Tensor) -> Tensor:
            return super().forward(picture.to(torch.bfloat16)).float() @ picture.new_ones(2, 1, 8, 4)

    program = lowered(Mixed().to(torch.bfloat16), torch.zeros(2, 4, 6, 6))
    assert ATTENTION & {str(node.target).removesuffix(".default") for node in program.graph.nodes}
    evidence = operator_evidence(program.graph)
    convolution, attention, product = 2 * 8 * 36 * 2 * 9, 2 * 36 * 36 * (8 + 8), 2 * 36 * 8 * 4
    assert evidence.low_precision_operators == 2
    low = convolution + attention
    assert evidence.low_precision_mac_share == low / (low + product)


def test_the_share_is_unknown_where_a_shape_is() -> None:
    graph = lowered(TinyNetwork(), torch.zeros(2, 3, 8, 8)).graph
    for node in graph.nodes:
        if str(node.target) == "aten.convolution.default":
            del node.meta["val"]
    evidence = operator_evidence(graph)
    assert (evidence.operators, evidence.low_precision_mac_share) == (2, None)
