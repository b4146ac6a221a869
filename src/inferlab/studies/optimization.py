"""What does each optimization bring? One model's variants, served alike, side by side."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

from inferlab.records import Configuration
from inferlab.studies.base import STUDIES, Study


@STUDIES.register("optimization")
class Optimization(Study):
    """Every optimization on every target behind the FastAPI server with dynamic batching."""

    kind: Literal["optimization"]

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """One endpoint for each target and optimization."""
        return [
            Configuration(model=model, optimization=optimization, target=target, path="fastapi", batching="dynamic")
            for target, optimization in product(targets, optimizations)
        ]

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model's endpoint."""
        return configuration.optimization == "original"
