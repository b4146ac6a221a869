"""PyTorch eager with the two settings that cost a user one line each: oneDNN for matrix products, pixels together."""

from __future__ import annotations

from typing import ClassVar

from inferlab.targets.base import TARGETS
from inferlab.targets.cpu_eager import CpuEager
from inferlab.targets.instructions import flags_here, has_bf16_tiles


@TARGETS.register("cpu-eager-tuned")
class CpuEagerTuned(CpuEager):
    """As `cpu-eager`, with weights and pictures in channels-last order and fp32 matrix products by oneDNN.

    By default PyTorch has MKL multiply fp32 matrices, which on a Zen 5 reached 117 GFLOP/s of one thread, where oneDNN
    reached 250. It asks oneDNN instead where fp32 factors may be rounded to bf16, which oneDNN acts on only where there
    are AMX tiles: there the default stays, since that would be another precision than the one named.
    """

    name: ClassVar[str] = "cpu-eager-tuned"
    channels_last: ClassVar[bool] = True

    def fp32_products(self) -> str:
        return "none" if has_bf16_tiles(flags_here()) else "bf16"
