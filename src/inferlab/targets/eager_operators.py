"""What PyTorch eager really runs: the compute operators of one call, their types and MACs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inferlab.targets.operators import OperatorEvidence, attention_macs

ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
"""The CPU's fused attention, which torch's counter of operations does not know."""
LOW_PRECISIONS = frozenset({"bfloat16", "float16"})
OPERATIONS_PER_MAC = 2


def operator_evidence(call: Callable[[], object]) -> OperatorEvidence:
    """Count the operators that multiply and accumulate while `call` runs.

    One is in low precision where every tensor that goes into it is: PyTorch computes in their type or, on a CPU that
    has no instructions for it, converts inside the operator.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    macs, low_macs = [], []

    class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Sees every operator that PyTorch has a kernel for, with its arguments."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            packet, kwargs = func.overloadpacket, kwargs or {}
            if packet.__name__ != ATTENTION and packet not in flop_registry:
                # In inference mode an operator that consists of others comes whole.
                with self:
                    parts = func.decompose(*args, **kwargs)
                return func(*args, **kwargs) if parts is NotImplemented else parts
            result = func(*args, **kwargs)
            if packet.__name__ == ATTENTION:
                macs.append(attention_macs(*(each.shape for each in args[:3])))
            else:
                macs.append(flop_registry[packet](*args, **kwargs, out_val=result) // OPERATIONS_PER_MAC)
            if all(_precision(value) in LOW_PRECISIONS for value in args if hasattr(value, "dtype")):
                low_macs.append(macs[-1])
            return result

    with Recorder():  # type: ignore[no-untyped-call]
        call()
    share = sum(low_macs) / sum(macs) if sum(macs) else None
    return OperatorEvidence(operators=len(macs), low_precision_operators=len(low_macs), low_precision_mac_share=share)


def _precision(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")
