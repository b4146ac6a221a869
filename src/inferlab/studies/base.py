"""What a study is: configurations and scenarios that are compared with each other, and the reference among them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from inferlab.records import Configuration, Frozen, PayloadMix, PlanRecord, SearchSpace
from inferlab.registry import Registry


class ClosedLoop(Frozen):
    """N callers, each of whom sends the next request, of `items` items, when the previous one is answered."""

    loop: ClassVar[Literal["closed", "open"]] = "closed"
    kind: Literal["closed"]
    callers: Annotated[int, Field(ge=1, le=1024)]
    items: Annotated[int, Field(ge=1, le=1024)] = 1


class OpenLoop(Frozen):
    """Requests at a constant rate that every configuration of the study can bear.

    The rate is `share_of_slowest` × what the slowest configuration serves to one caller, found before the first round.
    """

    loop: ClassVar[Literal["closed", "open"]] = "open"
    kind: Literal["open"]
    share_of_slowest: Annotated[float, Field(gt=0, lt=1)]


class LoadLevel(Frozen):
    """Requests at random moments (a Poisson process) at a share of the configuration's own capacity.

    The capacity is what it serves to twice as many callers as its largest batch holds, found before the first round.
    From a share of 1 on the server cannot keep up, and that is no fault of a block.
    """

    loop: ClassVar[Literal["closed", "open"]] = "open"
    kind: Literal["level"]
    share_of_capacity: Annotated[float, Field(gt=0, le=10)]


class RateSearch(Frozen):
    """The highest rate of a Poisson process that keeps the 99th percentile of latency within a limit.

    Found in every round by bisection in `steps` blocks between 0 and UP_TO of the configuration's capacity: more than
    all of it, since the capacity was found before the first round and may have been disturbed.
    """

    UP_TO: ClassVar[float] = 1.25

    loop: ClassVar[Literal["closed", "open"]] = "open"
    kind: Literal["search"]
    p99_limit_s: Annotated[float, Field(gt=0, le=60)]
    steps: Annotated[int, Field(ge=2, le=12)]

    def is_kept(self, latency_p99_s: float) -> bool:
        """Whether a block kept the limit."""
        return latency_p99_s <= self.p99_limit_s


class ProcessStart(Frozen):
    """A cold start: a server started alone on its own cores, then asked twice by one caller.

    The first request counts as due when the process starts, whatever the server does, so that its latency is the time
    from there to the first answer; the second is marked like warm-up. COLUMNS are what the blocks have beside
    columns.BLOCK_COLUMNS, in seconds: `ready_s` since the process's start, the others durations.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "ready_s",
        "session_load_s",
        "first_inference_s",
        "second_inference_s",
        "first_request_s",
        "second_request_s",
    )

    loop: ClassVar[Literal["closed", "open"]] = "open"
    kind: Literal["start"]


Scenario = ClosedLoop | OpenLoop | LoadLevel | RateSearch | ProcessStart
SCENARIOS: dict[str, type[Scenario]] = {
    "closed": ClosedLoop,
    "open": OpenLoop,
    "level": LoadLevel,
    "search": RateSearch,
    "start": ProcessStart,
}
"""Classes of scenarios by the `kind` of their rows."""


def are_starts(scenarios: Iterable[Scenario]) -> bool:
    """Whether servers are started for each block. Those that are up could not be beside them, so it is all or none."""
    return any(isinstance(scenario, ProcessStart) for scenario in scenarios)


def scenarios_of(plan: PlanRecord) -> dict[str, Scenario]:
    """What a plan says of each scenario of its study, by name."""
    return {each.name: SCENARIOS[each.row["kind"]].model_validate(each.row) for each in plan.scenarios}


class Study(Frozen, ABC):
    """A row of params.yaml `studies:`. A subclass says which configurations answer its question.

    `targets` are those that the study covers, in this order, as far as the run selects them; all of the run's, in the
    run's order, where it names none.
    """

    name: str
    kind: str
    optimizations: Annotated[tuple[str, ...], Field(min_length=1)]
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)]
    targets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @property
    def mix(self) -> PayloadMix:
        """Which requests every configuration of the study is sent."""
        return PayloadMix()

    @property
    def search_space(self) -> SearchSpace | None:
        """What the study tries for its tuned configurations; None where it has none."""
        return None

    def scenarios_needed(self, scenarios: Sequence[Scenario]) -> str:
        """What the study's scenarios have to be, where these are not that; else empty."""
        return ""

    @abstractmethod
    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """Every configuration of the study for one model, twins left out, in the order of the tables."""

    @abstractmethod
    def is_reference(self, configuration: Configuration) -> bool:
        """Whether a configuration may be the reference; the first one that can be measured here is it."""


STUDIES: Registry[type[Study]] = Registry("kind of study", "inferlab.studies")
