import math

from hypothesis import given
from hypothesis import strategies as st

from inferlab.load.timings import UNTOLD, ServerTimings, parse_server_timing


def test_durations_come_in_milliseconds_and_go_out_in_seconds() -> None:
    header = 'parse;dur=0.5, queue;dur=1, batch;dur=0.25, infer;dur=2000, serialize;dur=0.125, batch_size;desc="8"'
    assert parse_server_timing(header) == ServerTimings(0.0005, 0.001, 0.00025, 2.0, 0.000125, 8)


def test_what_the_server_does_not_tell_is_nan_and_unknown_metrics_are_left_out() -> None:
    timings = parse_server_timing("cdn;dur=3;desc=x, infer;desc=slow;dur=1.5, queue, batch;dur=soon")
    assert timings.infer_s == 0.0015
    assert all(math.isnan(value) for value in (timings.parse_s, timings.queue_s, timings.batch_s))
    assert timings.batch_size == 0


@given(st.text())
def test_any_text_is_read_without_an_error(header: str) -> None:
    assert len(parse_server_timing(header)) == len(UNTOLD)


@given(st.text("0123456789٣²", max_size=12))
def test_a_batch_size_is_a_number_that_int16_holds(size: str) -> None:
    assert 0 <= parse_server_timing(f"batch_size;desc={size}").batch_size < 2**15
