"""How fast is each engine on this machine, in each precision that it has? Sessions alone, without HTTP."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

from inferlab.records import Configuration
from inferlab.studies.base import STUDIES, Study


@STUDIES.register("engines")
class Engines(Study):
    """Every optimization on every target, called directly; scenarios of one caller, whose requests are the batches.

    Behind the batcher, since a request of several items is a batch only there; for one caller it waits for no other.
    """

    kind: Literal["engines"]

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """One session for each target and optimization."""
        return [
            Configuration(model=model, optimization=optimization, target=target, path="direct", batching="dynamic")
            for target, optimization in product(targets, optimizations)
        ]

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model on the first target that runs it: what the user has, where the study names that first."""
        return configuration.optimization == "original"
