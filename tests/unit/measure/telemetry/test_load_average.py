import os

from inferlab.measure.telemetry.load_average import LoadAverage


def test_the_kernels_mean_is_given() -> None:
    source = LoadAverage()
    assert source.start((0,)) is None
    source.begin(os.getpid())
    before = os.getloadavg()[0]
    reading = source.end(os.getpid())
    assert list(reading) == ["load_average_1m"]
    assert reading["load_average_1m"] in (before, os.getloadavg()[0])
