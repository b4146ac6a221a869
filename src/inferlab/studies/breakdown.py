"""Where does a request's time go, on each path, and what does each ingredient of an ordinary FastAPI handler cost?"""

from collections.abc import Sequence
from itertools import product
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from inferlab.records import Batching, Configuration, PlainHandler, ServingPath
from inferlab.studies.base import STUDIES, Study

PLAIN: ServingPath = "fastapi-plain"
ROWS: tuple[tuple[ServingPath, Batching], ...] = (
    ("direct", "none"),
    ("direct", "dynamic"),
    ("fastapi", "none"),
    ("fastapi", "dynamic"),
    (PLAIN, "none"),
)
HANDLERS: tuple[PlainHandler, ...] = tuple(name for name in get_args(PlainHandler) if name)


@STUDIES.register("breakdown")
class Breakdown(Study):
    """Every path to one target, original and optimized; then the ordinary handler with one thing changed at a time.

    Each model stands on one target: what `target_of` names for it, else the first of the study's that the run selects.
    """

    kind: Literal["breakdown"]
    target_of: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _targets_are_covered(self) -> Self:
        for model, target in self.target_of.items():
            if self.targets is not None and target not in self.targets:
                covered = ", ".join(self.targets)
                raise ValueError(f"target_of whose targets are among {covered} (that of {model} is {target})")
        return self

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """The paths, each with the batching that it can have; then the handler's variants for the original model."""
        wanted = self.target_of.get(model)
        target = next((name for name in targets if wanted is None or name == wanted), None)
        if target is None:
            return []
        rows = [
            Configuration(model=model, optimization=optimization, target=target, path=path, batching=batching)
            for optimization, (path, batching) in product(optimizations, ROWS)
        ]
        rows += [
            Configuration(
                model=model, optimization="original", target=target, path=PLAIN, batching="none", handler=handler
            )
            for handler in HANDLERS
        ]
        return rows

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model behind the ordinary handler, which its variants are compared with."""
        return (configuration.optimization, configuration.path, configuration.handler) == ("original", PLAIN, "")
