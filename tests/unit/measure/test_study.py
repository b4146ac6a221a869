from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fakes import ScriptedHost, planned, serving, settings

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.load.arrivals import PoissonArrivals
from inferlab.load.block import ClosedLoad, OpenLoad
from inferlab.measure.journal import BLOCKS, REQUESTS, Journal
from inferlab.measure.study import measure_study
from inferlab.measure.telemetry.cpu import MachineCpu
from inferlab.records import PayloadMix, PlannedConfiguration
from inferlab.studies.base import ClosedLoop, LoadLevel, OpenLoop, RateSearch, Scenario

SCENARIOS = {
    "one-caller": ClosedLoop(kind="closed", callers=1),
    "common-rate": OpenLoop(kind="open", share_of_slowest=0.5),
}
WARM_UP_BLOCKS = 2
PLANNED = [planned("direct"), planned("direct", twin=True), planned("fastapi")]


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.measure.observer.machine_cpu", lambda: MachineCpu(busy_s=1, steal_s=0, cores=2))


def run(
    root: Path,
    hosts: list[Any],
    rows: Sequence[PlannedConfiguration] = PLANNED,
    scenarios: Mapping[str, Scenario] = SCENARIOS,
    **changes: Any,
) -> tuple[list[ScriptedHost], int]:
    started: list[ScriptedHost] = []
    steps: list[int] = []

    def serve_all(planned: Sequence[object], advance: Callable[[int], None]) -> Any:
        started.extend(hosts[: len(planned)])
        return serving(started, advance)

    journal = Journal(root, "serving-m", "digest")
    measure_study(rows, scenarios, settings(**changes), serve_all, journal, steps.append)
    return started, sum(steps)


def hosts() -> list[ScriptedHost]:
    return [ScriptedHost(0.01), ScriptedHost(0.01), ScriptedHost(0.02)]


def delivered(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    Journal(root, "serving-m", "digest").deliver(root / "out")
    return pd.read_parquet(root / "out" / REQUESTS), pd.read_parquet(root / "out" / BLOCKS)


def test_every_round_has_every_configuration_under_every_scenario_in_random_order(tmp_path: Path) -> None:
    started, steps = run(tmp_path, hosts())
    assert steps == 3 + 3 * 3 * 2
    assert not any(host.open for host in started)
    requests, blocks = delivered(tmp_path)
    assert list(requests.columns) == list(REQUEST_COLUMNS)
    assert list(blocks.columns) == list(BLOCK_COLUMNS)
    assert len(blocks) == 18
    for _, group in blocks.groupby("round"):
        cells = set(zip(group["configuration"], group["scenario"], strict=True))
        assert cells == {(row.configuration.id, name) for row in PLANNED for name in SCENARIOS}
        assert sorted(group["order"]) == list(range(6))
    orders = {tuple(group["configuration"] + group["scenario"]) for _, group in blocks.groupby("round")}
    assert len(orders) == 3
    assert requests["warmup"].sum() == 18 * 2
    assert (blocks["requests_ok"] == 8).all()
    assert (
        blocks.loc[blocks["configuration"] == PLANNED[2].configuration.id, "latency_p50_s"]
        .between(0.0199, 0.0201)
        .all()
    )


def test_the_common_rate_is_a_share_of_what_the_slowest_serves_and_survives_a_restart(tmp_path: Path) -> None:
    started, _ = run(tmp_path, hosts(), rounds=2)
    rates = {
        block.load.arrivals.rate_per_s for host in started for block in host.blocks if isinstance(block.load, OpenLoad)
    }
    assert rates == {25.0}
    resumed, _ = run(tmp_path, [ScriptedHost(0.001) for _ in range(3)], rounds=3)
    assert {
        block.load.arrivals.rate_per_s for host in resumed for block in host.blocks if isinstance(block.load, OpenLoad)
    } == {25.0}


def test_finished_rounds_are_not_measured_again(tmp_path: Path) -> None:
    class Dies(ScriptedHost):
        def run(self, block: Any, on_phase: Any, items: int = 1) -> Any:
            if len(self.blocks) == WARM_UP_BLOCKS + 2 * 2:
                raise KeyboardInterrupt
            return super().run(block, on_phase, items)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [Dies(0.01), ScriptedHost(0.01), ScriptedHost(0.02)])
    assert Journal(tmp_path, "serving-m", "digest").finished_rounds() == {0, 1}
    resumed, steps = run(tmp_path, hosts())
    assert steps == 3 + 6
    assert [len(host.blocks) for host in resumed] == [WARM_UP_BLOCKS + 2] * 3
    again, steps = run(tmp_path, hosts())
    assert (again, steps) == ([], 0)
    assert len(delivered(tmp_path)[1]) == 18


def test_an_invalid_block_is_tried_again_and_every_attempt_is_kept(tmp_path: Path) -> None:
    late = ScriptedHost(0.01, lags_s=[0.0, 0.0, 0.05])
    run(tmp_path, [late, ScriptedHost(0.01), ScriptedHost(0.02)], rounds=2)
    _, blocks = delivered(tmp_path)
    tried = blocks[blocks["outcome"] == "invalid"]
    assert len(tried) == 1
    assert "client was late" in tried["reason"].iloc[0]
    cell = ["configuration", "scenario", "round"]
    attempts = blocks.merge(tried[cell], on=cell).sort_values("attempt")
    assert attempts["outcome"].tolist() == ["invalid", "measured"]


def test_a_block_that_stays_invalid_is_reported_as_such(tmp_path: Path) -> None:
    late = ScriptedHost(0.01, lags_s=[0.0, 0.0, *[0.05] * 20])
    run(tmp_path, [late, ScriptedHost(0.01), ScriptedHost(0.02)], rounds=2)
    _, blocks = delivered(tmp_path)
    own = blocks[blocks["configuration"] == PLANNED[0].configuration.id]
    assert (own["outcome"] == "invalid").all()
    assert own["attempt"].max() == 1


def test_callers_of_the_scenario_reach_the_load(tmp_path: Path) -> None:
    started, _ = run(tmp_path, hosts(), rounds=2)
    closed = [block.load for block in started[0].blocks if isinstance(block.load, ClosedLoad)]
    assert closed == [ClosedLoad(1), ClosedLoad(1)] + [ClosedLoad(1)] * 2


def test_caches_are_filled_and_configurations_of_a_round_get_the_same_draws(tmp_path: Path) -> None:
    rows = [planned("fastapi"), planned("fastapi", twin=True), planned("fastapi", cache_share=0.5)]
    mix = PayloadMix(distinct=7, zipf_exponent=1.5)
    (plain, twin, cached), _ = run(tmp_path, hosts(), rows, mix=mix, rounds=2)
    extra = [block for block in cached.blocks if block.zipf_exponent is None]
    assert [(block.max_requests, block.warmup_s) for block in extra] == [(7, 0)]
    assert cached.blocks.index(extra[0]) < WARM_UP_BLOCKS
    assert {block.zipf_exponent for host in (plain, twin) for block in host.blocks} == {1.5}
    seeds = [sorted(block.seed for block in host.blocks[-4:]) for host in (plain, twin, cached)]
    assert seeds[0] == seeds[1] == seeds[2] == [3, 3, 4, 4]


def test_load_levels_are_shares_of_the_own_capacity_and_may_be_more_than_it(tmp_path: Path) -> None:
    shares = {"low": 0.1, "over": 1.2}
    levels = {name: LoadLevel(kind="level", share_of_capacity=share) for name, share in shares.items()}
    started, _ = run(tmp_path, hosts(), scenarios=levels, rounds=2)
    capacity_per_s = (16 / 0.01, 16 / 0.01, 16 / 0.02)
    for host, capacity, blocks_before in zip(started, capacity_per_s, (5, 2, 5), strict=True):
        loads = [block.load for block in host.blocks[blocks_before:]]
        wanted = {PoissonArrivals(share * capacity) for share in shares.values()}
        assert {load.arrivals for load in loads if isinstance(load, OpenLoad)} == wanted
        assert len(loads) == 4
    low = next(block for block in started[2].blocks if block.load == OpenLoad(PoissonArrivals(0.1 * 16 / 0.02)))
    assert low.block_s == pytest.approx(12 / 80)
    _, blocks = delivered(tmp_path)
    assert (blocks["outcome"] == "measured").all()
    over = blocks[(blocks["scenario"] == "over") & (blocks["configuration"] == PLANNED[2].configuration.id)]
    assert over["offered_rate_per_s"].tolist() == pytest.approx([1.2 * 800] * 2)


def test_a_search_keeps_every_block_as_an_attempt_and_ends_where_none_is_valid(tmp_path: Path) -> None:
    search = {"search": RateSearch(kind="search", p99_limit_s=0.015, steps=3)}
    late = ScriptedHost(0.01, lags_s=[0.0] * 5 + [0.0, 0.05] + [0.0] * 2 + [0.0, 0.05, 0.05])
    run(tmp_path, [late, ScriptedHost(0.01), ScriptedHost(0.02)], scenarios=search, rounds=2)
    requests, blocks = delivered(tmp_path)
    first, second = (
        blocks[(blocks["configuration"] == PLANNED[0].configuration.id) & (blocks["round"] == number)]
        for number in (0, 1)
    )
    shares = [0.625, 0.9375, 0.9375, 1.09375]
    assert (first["offered_rate_per_s"] / 1600).tolist() == pytest.approx(shares)
    assert first["attempt"].tolist() == [0, 1, 2, 3]
    assert first["outcome"].tolist() == ["measured", "invalid", "measured", "measured"]
    assert second["outcome"].tolist() == ["measured", "invalid", "invalid"]
    slow = blocks[blocks["configuration"] == PLANNED[2].configuration.id]
    assert (slow["offered_rate_per_s"] / 800).tolist() == pytest.approx([0.625, 0.3125, 0.15625] * 2)
    assert len(requests) == 10 * len(blocks)


def test_requests_carry_as_many_items_as_the_scenario_says(tmp_path: Path) -> None:
    sizes = {"one": ClosedLoop(kind="closed", callers=2), "four": ClosedLoop(kind="closed", callers=2, items=4)}
    started, _ = run(tmp_path, hosts(), scenarios=sizes, rounds=2)
    assert [sorted(host.items) for host in started] == [[1] * (WARM_UP_BLOCKS + 2) + [4] * 2] * 3
