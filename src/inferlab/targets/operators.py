"""What runs in an artifact: compute operators, and how many of them took up the optimization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from inferlab.records import Engagement, OptimizationRecord

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ATEN_COMPUTE = frozenset(
    {
        "addmm",
        "baddbmm",
        "bmm",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "convolution",
        "gru",
        "linear",
        "lstm",
        "matmul",
        "mm",
        "scaled_dot_product_attention",
    }
)
"""ATen operators that multiply and accumulate: what precision and sparsity are about."""


@dataclass(frozen=True)
class OperatorEvidence:
    """Compute operators of one artifact. `low_precision_mac_share` is 0 to 1, None where MACs cannot be told apart."""

    operators: int
    low_precision_operators: int
    low_precision_mac_share: float | None
    sparse_kernels: bool = False
    zeroed_weight_used_share: float = 0.0
    """Of the zeroed weights, the share that sparse kernels skip."""
    operators_on_accelerator_share: float | None = None
    note: str = ""


def compute_operators(program: ExportedProgram) -> list[str]:
    """The names of the ATen compute operators in `program`, in the order of the graph, such as "conv2d"."""
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    names = [target.split(".")[1] for target in called if target.startswith("aten.")]
    return [name for name in names if name in ATEN_COMPUTE]


def attention_macs(query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> int:
    """MACs by three shapes: scores [..., queries, keys] over the key size, then values over the keys."""
    return prod(query[:-1]) * key[-2] * (key[-1] + value[-1])


def has_attention(operators: Sequence[str]) -> bool:
    """Whether these operators are those of a transformer."""
    return "scaled_dot_product_attention" in operators


def engagement_of(evidence: OperatorEvidence, optimization: OptimizationRecord) -> Engagement:
    """The evidence beside what the optimization removed."""
    low, total = evidence.low_precision_operators, evidence.operators
    notes = [evidence.note] if evidence.note else []
    if evidence.sparse_kernels and evidence.zeroed_weight_used_share < 1:
        notes.append(f"kernels skip {evidence.zeroed_weight_used_share:.0%} of the zeroed weights")
    removed = 1 - optimization.macs / optimization.macs_original if optimization.macs_original else 0.0
    return Engagement(
        operators=total,
        low_precision_operators=low,
        low_precision_operator_share=low / total if total else 0.0,
        low_precision_mac_share=evidence.low_precision_mac_share,
        zeroed_weight_share=optimization.sparsity,
        sparse_kernels=evidence.sparse_kernels,
        zeroed_weight_used_share=evidence.zeroed_weight_used_share,
        macs_removed_share=removed,
        operators_on_accelerator_share=evidence.operators_on_accelerator_share,
        note="; ".join(notes),
    )
