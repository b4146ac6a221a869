"""How does an endpoint bear load? The same endpoints under few and many callers, low and high rates."""

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Literal

from pydantic import Field

from inferlab.records import Batching, Configuration
from inferlab.studies.base import STUDIES, Study


@STUDIES.register("scalability")
class Scalability(Study):
    """The FastAPI server with and without dynamic batching, original and optimized; the scenarios are the load.

    With `batch_limits`, dynamic batching comes once with each of these instead of with that of params.yaml `serve:`.
    """

    kind: Literal["scalability"]
    batchings: Annotated[tuple[Batching, ...], Field(min_length=1)] = ("none", "dynamic")
    batch_limits: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = ()

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """One endpoint for each target, optimization, batching and limit of it."""
        return [
            Configuration(
                model=model,
                optimization=optimization,
                target=target,
                path="fastapi",
                batching=batching,
                batch_limit=limit,
            )
            for target, optimization, batching in product(targets, optimizations, self.batchings)
            for limit in (self.batch_limits if batching == "dynamic" and self.batch_limits else (None,))
        ]

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model's endpoint, without batching where the study has that."""
        return (configuration.optimization, configuration.batching) == ("original", self.batchings[0])
