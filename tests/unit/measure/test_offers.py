"""What scenarios offer, and a bisection on a queue that is known."""

import math

import pytest

from inferlab.load.arrivals import ConstantArrivals, PoissonArrivals
from inferlab.load.block import ClosedLoad, OpenLoad
from inferlab.measure.offers import Offer, Rates, needs_capacity, offers
from inferlab.records import Configuration
from inferlab.studies.base import ClosedLoop, LoadLevel, OpenLoop, RateSearch

ONE = Configuration(model="m", optimization="original", target="t", path="fastapi", batching="none")
RATES = Rates(slowest_per_s=10.0, capacity_per_s={ONE.id: 200.0})
SEARCH = RateSearch(kind="search", p99_limit_s=0.05, steps=8)


def bisected(p99_s: float | None, service_s: float = 1 / 200) -> list[Offer]:
    """The offers of a search on M/M/1, whose sojourn times are exponential, or on a server of one latency."""
    found = []
    searching = offers(SEARCH, ONE, RATES)
    offer = next(searching)
    while True:
        found.append(offer)
        assert isinstance(offer.load, OpenLoad)
        rate = offer.load.arrivals.rate_per_s
        try:
            offer = searching.send(p99_s if p99_s is not None else math.log(100) / (1 / service_s - rate))
        except StopIteration:
            return found


def test_each_kind_of_scenario_offers_its_load_once() -> None:
    twin = ONE.model_copy(update={"twin": True})
    for configuration in (ONE, twin):
        assert list(offers(ClosedLoop(kind="closed", callers=3), configuration, RATES)) == [Offer(ClosedLoad(3))]
        common = OpenLoop(kind="open", share_of_slowest=0.5)
        assert list(offers(common, configuration, RATES)) == [Offer(OpenLoad(ConstantArrivals(5.0)), 6 / 5)]
        level = LoadLevel(kind="level", share_of_capacity=1.2)
        assert list(offers(level, configuration, RATES)) == [Offer(OpenLoad(PoissonArrivals(240.0)), 12 / 240, True)]


def test_only_shares_of_the_own_capacity_need_it() -> None:
    assert not needs_capacity({"a": ClosedLoop(kind="closed", callers=3)})
    assert not needs_capacity({"a": OpenLoop(kind="open", share_of_slowest=0.5)})
    assert needs_capacity({"a": LoadLevel(kind="level", share_of_capacity=0.5)})
    assert needs_capacity({"a": SEARCH})


def test_a_search_closes_in_on_the_rate_at_which_the_queue_reaches_the_limit() -> None:
    truth_per_s = 200 - math.log(100) / 0.05
    tried = bisected(None)
    rates = [offer.load.arrivals.rate_per_s for offer in tried if isinstance(offer.load, OpenLoad)]
    assert rates[0] == 125.0
    assert len(rates) == SEARCH.steps
    kept = max(rate for rate in rates if SEARCH.is_kept(math.log(100) / (200 - rate)))
    assert truth_per_s - 250 / 2**SEARCH.steps <= kept <= truth_per_s
    assert all(offer.may_saturate for offer in tried)
    assert tried[0].least_s == pytest.approx(0.8), "a hundred requests at 125 a second"


def test_a_limit_that_is_always_kept_leads_beyond_the_capacity_and_one_that_never_is_to_nothing() -> None:
    up = [offer.load.arrivals.rate_per_s for offer in bisected(0.01) if isinstance(offer.load, OpenLoad)]
    down = [offer.load.arrivals.rate_per_s for offer in bisected(0.06) if isinstance(offer.load, OpenLoad)]
    assert up == [250 * (1 - 0.5**step) for step in range(1, 9)]
    assert down == [250 * 0.5**step for step in range(1, 9)]


def test_a_search_ends_where_a_block_is_not_valid() -> None:
    searching = offers(SEARCH, ONE, RATES)
    next(searching)
    with pytest.raises(StopIteration):
        searching.send(None)
