"""What a study is: configurations and scenarios that are compared with each other, and the reference among them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from inferlab.records import Configuration, Frozen, PayloadMix
from inferlab.registry import Registry


class ClosedLoop(Frozen):
    """N callers, each of whom sends the next request when the previous one is answered."""

    kind: Literal["closed"]
    callers: Annotated[int, Field(ge=1, le=1024)]


class OpenLoop(Frozen):
    """Requests at a constant rate that every configuration of the study can bear.

    The rate is `share_of_slowest` × what the slowest configuration serves to one caller, found before the first round.
    """

    kind: Literal["open"]
    share_of_slowest: Annotated[float, Field(gt=0, lt=1)]


Scenario = ClosedLoop | OpenLoop


class Study(Frozen, ABC):
    """A row of params.yaml `studies:`. A subclass says which configurations answer its question.

    `targets` are those that the study covers, as far as the run selects them; all of the run's where it names none.
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

    @abstractmethod
    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """Every configuration of the study for one model, twins left out, in the order of the tables."""

    @abstractmethod
    def is_reference(self, configuration: Configuration) -> bool:
        """Whether a configuration may be the reference; the first one that can be measured here is it."""


STUDIES: Registry[type[Study]] = Registry("kind of study", "inferlab.studies")
