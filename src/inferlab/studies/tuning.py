"""What do batch limit, threads and replicas that a search found buy, against the defaults?"""

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inferlab.records import Configuration, Count, SearchSpace
from inferlab.studies.base import STUDIES, RateSearch, Scenario, Study


@STUDIES.register("tuning")
class Tuning(Study):
    """The FastAPI server with dynamic batching as it is by default, and as the best of at most `trials` candidates.

    What is searched for is the highest rate under the latency limit of the study's only scenario.
    """

    kind: Literal["tuning"]
    trials: Annotated[int, Field(ge=2, le=1000)]
    batch_limits: Annotated[tuple[Count, ...], Field(min_length=1)]
    threads: Annotated[tuple[Count, ...], Field(min_length=1)]
    replicas: Annotated[tuple[Count, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_value_once(self) -> Self:
        for name in ("batch_limits", "threads", "replicas"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} with each value once (these are {', '.join(map(str, values))})")
        return self

    @property
    def search_space(self) -> SearchSpace:
        """The study's own keys, which its plan carries."""
        return SearchSpace(
            trials=self.trials, batch_limits=self.batch_limits, threads=self.threads, replicas=self.replicas
        )

    def scenarios_needed(self, scenarios: Sequence[Scenario]) -> str:
        """One search, which is what trials are judged by."""
        is_search = [isinstance(scenario, RateSearch) for scenario in scenarios]
        return "" if is_search == [True] else "one scenario, of the kind search"

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """For each target and optimization the default endpoint and the tuned one."""
        return [
            Configuration(
                model=model, optimization=optimization, target=target, path="fastapi", batching="dynamic", tuned=tuned
            )
            for target, optimization, tuned in product(targets, optimizations, (False, True))
        ]

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model's default endpoint."""
        return configuration.optimization == "original" and not configuration.tuned
