"""What a scenario offers a configuration: one load or, where it searches, each by what the last one did."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from inferlab.load.arrivals import ConstantArrivals, PoissonArrivals, SteadyArrivals
from inferlab.load.block import ClosedLoad, OpenLoad
from inferlab.records import Configuration
from inferlab.studies.base import ClosedLoop, LoadLevel, OpenLoop, RateSearch, Scenario

LEAST_REQUESTS = {OpenLoop: 6, LoadLevel: 12, RateSearch: 100}
"""A block of an open loop lasts at least until so many requests are due, however low the rate. Ten rounds of twelve
requests are more than the hundred that a 99th percentile takes, which a Poisson process may well fall short of; a
search takes one of every block."""
LIMITS_A_BLOCK = 10
"""A block of a search is so many times as long as the limit on latency: in a shorter one no queue could reach it."""


@dataclass(frozen=True)
class Rates:
    """What servers bear, found before the first round: the rates of open loops are shares of it. Requests per second.

    `slowest_per_s` is what the slowest configuration serves to one caller. `capacity_per_s` is what each serves to
    callers enough to fill its batches, by id; empty where no scenario needs it. The A/A twin has the reference's: with
    one of its own, the noise of both capacities would be taken for that of what is measured under them.
    """

    slowest_per_s: float
    capacity_per_s: dict[str, float]


@dataclass(frozen=True)
class Offer:
    """A load, for how many seconds at least, and how many items a request carries.

    `may_saturate` where a server that cannot keep up is no fault.
    """

    load: ClosedLoad | OpenLoad
    least_s: float = 0.0
    may_saturate: bool = False
    items: int = 1


def needs_capacity(scenarios: Mapping[str, Scenario]) -> bool:
    """Whether a rate of a scenario is a share of the configuration's own capacity."""
    return any(isinstance(scenario, LoadLevel | RateSearch) for scenario in scenarios.values())


def offers(scenario: Scenario, configuration: Configuration, rates: Rates) -> Generator[Offer, float | None, None]:
    """The loads of one round. It is sent the p99 latency under the last one in seconds, None where none is valid."""
    match scenario:
        case ClosedLoop():
            yield Offer(ClosedLoad(scenario.callers), items=scenario.items)
        case OpenLoop():
            arrivals: SteadyArrivals = ConstantArrivals(scenario.share_of_slowest * rates.slowest_per_s)
            yield Offer(OpenLoad(arrivals), LEAST_REQUESTS[OpenLoop] / arrivals.rate_per_s)
        case LoadLevel():
            arrivals = PoissonArrivals(scenario.share_of_capacity * _capacity(configuration, rates))
            yield Offer(OpenLoad(arrivals), LEAST_REQUESTS[LoadLevel] / arrivals.rate_per_s, may_saturate=True)
        case RateSearch():
            yield from _bisection(scenario, _capacity(configuration, rates))


def _bisection(scenario: RateSearch, capacity_per_s: float) -> Generator[Offer, float | None, None]:
    """Halves what lies between a rate that kept the limit, at first none, and one that did not, at first UP_TO.

    Ends early where a block is not valid however often it is tried.
    """
    low, high = 0.0, scenario.UP_TO * capacity_per_s
    for _ in range(scenario.steps):
        rate_per_s = (low + high) / 2
        least_s = max(LEAST_REQUESTS[RateSearch] / rate_per_s, LIMITS_A_BLOCK * scenario.p99_limit_s)
        p99_s = yield Offer(OpenLoad(PoissonArrivals(rate_per_s)), least_s, may_saturate=True)
        if p99_s is None:
            return
        if scenario.is_kept(p99_s):
            low = rate_per_s
        else:
            high = rate_per_s


def _capacity(configuration: Configuration, rates: Rates) -> float:
    return rates.capacity_per_s[configuration.without_twin.id]
