"""How long does a server take from nothing to its first answer? Each way of serving, started alone."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

from inferlab.records import Batching, Configuration, ServingPath
from inferlab.studies.base import STUDIES, Study

ENDPOINTS: tuple[tuple[ServingPath, Batching], ...] = (
    ("direct", "none"),
    ("fastapi", "none"),
    ("fastapi", "dynamic"),
    ("fastapi-plain", "none"),
)


@STUDIES.register("cold-start")
class ColdStart(Study):
    """Every path for each target and optimization; behind dynamic batching, which loads each compiled size, HTTP alone.

    As in the study `serving`, the ordinary handler is there for the original model only.
    """

    kind: Literal["cold-start"]

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """One endpoint for each target, optimization, path and batching."""
        return [
            Configuration(model=model, optimization=optimization, target=target, path=path, batching=batching)
            for target, optimization, (path, batching) in product(targets, optimizations, ENDPOINTS)
            if path != "fastapi-plain" or optimization == "original"
        ]

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model, called directly."""
        return (configuration.optimization, configuration.path) == ("original", "direct")
