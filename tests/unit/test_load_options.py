import os
from pathlib import Path
from typing import Any

import pytest

from inferlab.errors import UserError
from inferlab.load.arrivals import ConstantArrivals, GammaArrivals, PoissonArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad
from inferlab.load.ramp import RampArrivals
from inferlab.load.stopping import StopRule
from inferlab.load.trace import TraceArrivals
from inferlab.load_options import LoadOptions, allowed_cores, block_of, check_requests_out


def block(**options: Any) -> Block:
    return block_of(LoadOptions("http://h/", **options))


def arrivals(**options: Any) -> object:
    load = block(scenario="open", **options).load
    assert isinstance(load, OpenLoad)
    return load.arrivals


def test_what_is_not_given_has_a_default() -> None:
    assert block() == Block(ClosedLoad(1), 1.0, 10.0, 30.0, 5_000_000, 1)
    assert block(scenario="open", rate=5.0) == Block(OpenLoad(ConstantArrivals(5.0)), 1.0, 10.0, 30.0, None, 1)


def test_each_kind_of_arrivals_has_its_options(tmp_path: Path) -> None:
    assert arrivals(rate=5.0, arrivals="poisson") == PoissonArrivals(5.0)
    assert arrivals(rate=5.0, arrivals="gamma") == GammaArrivals(5.0, 2.0)
    assert arrivals(rate=5.0, arrivals="gamma", variation=0.5) == GammaArrivals(5.0, 0.5)
    ramp = arrivals(rate=5.0, arrivals="ramp", ramp_to=50.0, duration=20.0, warmup="2")
    assert ramp == RampArrivals(5.0, 50.0, ramp_s=20.0, hold_s=2.0)
    path = tmp_path / "trace.txt"
    path.write_text("10\n11\n12\n13\n")
    replay = block(scenario="open", arrivals="trace", trace=path)
    assert isinstance(replay.load, OpenLoad) and isinstance(replay.load.arrivals, TraceArrivals)
    assert (replay.warmup_s, replay.block_s) == (0.0, 4.0)
    assert block(scenario="open", arrivals="trace", trace=path, warmup="1").block_s == 3.0
    with pytest.raises(UserError, match="the whole trace"):
        block(scenario="open", arrivals="trace", trace=path, warmup="4")


def test_stop_rules_bound_the_time_from_both_sides() -> None:
    assert block(precision=0.02).stop == StopRule(0.0, 0, 0.02)
    assert block(precision=0.02).block_s == 300.0
    ruled = block(min_duration=2.0, min_requests=10, max_duration=20.0)
    assert (ruled.block_s, ruled.stop) == (20.0, StopRule(2.0, 10))


def test_warm_up_is_a_time_or_found() -> None:
    assert block(warmup="0.5").warmup_s == 0.5
    found = block(warmup="auto")
    assert (found.warmup_s, found.find_warmup) == (0.0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": "opne"}, "--scenario 'opne'.*Did you mean 'open'"),
        ({"scenario": "open"}, "needs --rate"),
        ({"scenario": "open", "rate": 0.0}, "--rate is 0"),
        ({"scenario": "open", "rate": float("nan")}, "--rate is nan"),
        ({"scenario": "open", "rate": 5.0, "clients": 3}, "--clients belongs to --scenario closed"),
        ({"scenario": "open", "rate": 5.0, "arrivals": "posson"}, "--arrivals 'posson'.*Did you mean 'poisson'"),
        ({"scenario": "open", "rate": 5.0, "variation": 2.0}, "--variation belongs to --arrivals gamma"),
        ({"scenario": "open", "rate": 5.0, "arrivals": "gamma", "variation": 0.0}, "--variation is 0"),
        ({"scenario": "open", "rate": 5.0, "ramp_to": 2.0}, "--ramp-to belongs to --arrivals ramp"),
        ({"scenario": "open", "rate": 5.0, "arrivals": "ramp"}, "needs --rate and --ramp-to"),
        ({"scenario": "open", "rate": 5.0, "arrivals": "ramp", "ramp_to": -1.0}, "--ramp-to is -1"),
        ({"scenario": "open", "rate": 5.0, "arrivals": "ramp", "ramp_to": 9.0, "warmup": "auto"}, "a ramp changes"),
        ({"scenario": "open", "rate": 5.0, "trace": Path("x")}, "--trace belongs to --arrivals trace"),
        ({"scenario": "open", "arrivals": "trace"}, "needs --trace FILE"),
        ({"scenario": "open", "arrivals": "trace", "trace": Path("x"), "rate": 1.0}, "--rate belongs to other"),
        ({"scenario": "open", "arrivals": "trace", "trace": Path("nowhere.txt")}, "nowhere.txt: there is no such"),
        ({"scenario": "open", "rate": 1e6, "duration": 6.0}, "5,000,000 are allowed"),
        ({"rate": 5.0}, "--rate belongs to --scenario open"),
        ({"clients": 0}, "--clients is 0; allowed: 1 to"),
        ({"duration": 0.0}, "--duration is 0"),
        ({"duration": float("inf")}, "--duration is inf"),
        ({"duration": 3.0, "precision": 0.1}, "--max-duration"),
        ({"max_duration": 3.0}, "--max-duration belongs to"),
        ({"min_duration": 30.0, "max_duration": 3.0}, "--min-duration is 30; allowed: 0 to the maximum of 3 s"),
        ({"min_requests": -1}, "--min-requests is -1"),
        ({"precision": 0.9}, "--precision is 0.9"),
        ({"warmup": "soon"}, "--warmup is 'soon'; allowed: seconds"),
        ({"warmup": "nan"}, "--warmup is 'nan'"),
        ({"timeout": 0.0}, "--timeout is 0"),
    ],
)
def test_an_error_names_the_option_its_value_and_what_is_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        block(**options)


def test_the_client_gets_a_core_that_there_is() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    assert allowed_cores(None) == tuple(allowed)
    assert allowed_cores(allowed[-1]) == (allowed[-1],)
    with pytest.raises(UserError, match="--core is 9999; allowed here"):
        allowed_cores(9999)


def test_records_go_to_a_parquet_file_in_a_folder_that_exists(tmp_path: Path) -> None:
    check_requests_out(None)
    check_requests_out(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"must end in \.parquet"):
        check_requests_out(tmp_path / "a.csv")
    with pytest.raises(UserError, match="in a folder"):
        check_requests_out(tmp_path / "none" / "a.parquet")
