"""What do the path, the precision and batching cost or bring? The paper's six configurations, completed to the grid."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

from inferlab.records import Batching, Configuration, ServingPath
from inferlab.studies.base import STUDIES, Study

PATHS: tuple[ServingPath, ...] = ("direct", "fastapi")
BATCHINGS: tuple[Batching, ...] = ("none", "dynamic")


@STUDIES.register("serving")
class Serving(Study):
    """path × precision × batching for each target, and the ordinary handler for the original model."""

    kind: Literal["serving"]

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """The full grid of each target, then `fastapi-plain` for the original model."""
        rows = []
        for target in targets:
            rows += [
                Configuration(model=model, optimization=optimization, target=target, path=path, batching=batching)
                for optimization, path, batching in product(optimizations, PATHS, BATCHINGS)
            ]
            rows += [
                Configuration(
                    model=model, optimization=optimization, target=target, path="fastapi-plain", batching="none"
                )
                for optimization in optimizations
                if optimization == "original"
            ]
        return rows

    def is_reference(self, configuration: Configuration) -> bool:
        """The paper's baseline: the original model, called directly, one request a run."""
        return (configuration.optimization, configuration.path, configuration.batching) == (
            "original",
            "direct",
            "none",
        )
