"""What runs in an artifact: compute operators, and how many of them took up the optimization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

SMALLEST_NOTED_ZEROED_SHARE = 0.005
"""Below this share zeroes are what training happened to leave, such as the row of a padding token."""
SMALLEST_UNNOTED_LOW_PRECISION_SHARE = 0.5
"""Below this share of MACs most of the work is that of full precision."""


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


def has_attention(operators: Sequence[str]) -> bool:
    """Whether these operators are those of a transformer."""
    return "scaled_dot_product_attention" in operators


def engagement_of(evidence: OperatorEvidence, optimization: OptimizationRecord) -> Engagement:
    """The evidence beside what the optimization removed; the note says where it took no effect."""
    low, total = evidence.low_precision_operators, evidence.operators
    notes = [evidence.note] if evidence.note else []
    share = evidence.low_precision_mac_share
    if optimization.precision != "fp32" and low == 0:
        notes.append(f"{optimization.precision} was asked for, but no compute operator runs in low precision")
    elif optimization.precision != "fp32" and share is not None and share < SMALLEST_UNNOTED_LOW_PRECISION_SHARE:
        notes.append(f"{optimization.precision} was asked for, but {1 - share:.0%} of the MACs run in fp32")
    if optimization.sparsity >= SMALLEST_NOTED_ZEROED_SHARE and not evidence.sparse_kernels:
        zeroed = f"{optimization.sparsity:.0%} of the weights are zero"
        notes.append(f"{zeroed}, and no kernel skips them: the engine's kernels are dense")
    elif optimization.sparsity >= SMALLEST_NOTED_ZEROED_SHARE and evidence.zeroed_weight_used_share < 1:
        notes.append(f"kernels skip {evidence.zeroed_weight_used_share:.0%} of the zeroed weights")
    removed = 1 - optimization.macs / optimization.macs_original if optimization.macs_original else 0.0
    return Engagement(
        operators=total,
        low_precision_operators=low,
        low_precision_operator_share=low / total if total else 0.0,
        low_precision_mac_share=share,
        zeroed_weight_share=optimization.sparsity,
        sparse_kernels=evidence.sparse_kernels,
        zeroed_weight_used_share=evidence.zeroed_weight_used_share,
        macs_removed_share=removed,
        operators_on_accelerator_share=evidence.operators_on_accelerator_share,
        note="; ".join(notes),
    )
