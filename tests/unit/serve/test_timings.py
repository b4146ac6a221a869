import pytest

from inferlab.load.timings import parse_server_timing
from inferlab.serve.timings import Timings, server_timing


def test_the_load_client_reads_what_the_server_writes_to_the_microsecond() -> None:
    timings = Timings(0.000041, 0.012, 0.000003, 1.234567, 0.0, 8)
    read = parse_server_timing(server_timing(timings).decode())
    assert read._fields == timings._fields
    assert tuple(read) == pytest.approx(tuple(timings), abs=5e-7)
