import numpy as np
import pytest

from inferlab.serve import meter as meter_module
from inferlab.serve.meter import BATCH_BOUNDS, BOUNDS_S, Meter
from inferlab.serve.timings import Timings


def test_histograms_are_those_of_a_count_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "NOTED_AT_MOST", 100)
    random = np.random.default_rng(0)
    noted = [
        Timings(*(10.0 ** random.uniform(-6, 2, size=5)).tolist(), batch_size=int(random.integers(1, 400)))
        for _ in range(250)
    ]
    meter = Meter()
    for timings in noted:
        meter.answered(timings)
    stages = meter.stages()
    assert list(stages) == ["parse", "queue", "batch", "infer", "serialize"]
    for place, (buckets, total_s) in enumerate(stages.values()):
        values = [timings[place] for timings in noted]
        assert total_s == pytest.approx(sum(values))
        assert [name for name, _ in buckets] == [*map(str, BOUNDS_S), "+Inf"]
        counts = [count for _, count in buckets]
        assert counts == [*(sum(value <= bound for value in values) for bound in BOUNDS_S), 250]
    buckets, total = meter.batch_sizes()
    sizes = [timings.batch_size for timings in noted]
    assert [count for _, count in buckets] == [*(sum(size <= bound for size in sizes) for bound in BATCH_BOUNDS), 250]
    assert total == sum(sizes)
    assert meter.statuses == {200: 250}


def test_a_meter_that_noted_nothing_has_empty_histograms() -> None:
    meter = Meter()
    meter.failed(503)
    assert all(count == 0 for buckets, _ in meter.stages().values() for _, count in buckets)
    assert meter.batch_sizes()[1] == 0
    assert meter.statuses == {503: 1}
