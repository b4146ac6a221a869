from dataclasses import replace

import pytest

from inferlab.analyze.gemm_peak import gemm_peak_share, gemm_peaks, operations_per_s
from inferlab.analyze.rows import Row
from inferlab.studies.base import ClosedLoop


def of_model(row: Row, model: str, **keys: str) -> Row:
    """The row as if it were another's, with optimizations' records by its new names."""
    renamed = replace(row, keys={**row.keys, "model": model, **keys})
    record = row.results.optimizations[(row.keys["model"], row.keys["optimization"])]
    key = (model, renamed.keys["optimization"])
    results = replace(row.results, optimizations={**row.results.optimizations, key: record})
    return replace(renamed, results=results, scenario=ClosedLoop(kind="closed", callers=1, items=2))


@pytest.fixture(scope="module")
def slow(rows: list[Row]) -> Row:
    return next(
        row
        for row in rows
        if (row.keys["study"], row.keys["model"], row.keys["optimization"]) == ("optimization", "minilm", "original")
        and row.keys["target"] == "cpu-eager"
        and row.measured
    )


def test_operations_count_every_item_of_a_request(slow: Row) -> None:
    row = of_model(slow, "gemm")
    macs = slow.results.optimizations[("minilm", "original")].macs
    assert operations_per_s(row) == pytest.approx(2 * macs * 2 * slow.values("throughput_per_s").mean())
    assert operations_per_s(replace(row, scenario=None)) is None


def test_the_peak_is_that_of_the_fastest_engine_on_the_device_in_the_precision(slow: Row) -> None:
    peak = of_model(slow, "gemm", target="cpu-openvino")
    peaks = gemm_peaks([peak, of_model(slow, "gemm", target="cuda-eager"), slow])
    assert len(peaks) == 2
    row = of_model(slow, "minilm")
    assert gemm_peak_share(row, peaks) == pytest.approx(1.0)
    assert gemm_peak_share(replace(row, scenario=ClosedLoop(kind="closed", callers=1)), peaks) == pytest.approx(0.5)


def test_both_ways_to_int8_have_one_peak_and_others_none(slow: Row) -> None:
    peaks = gemm_peaks([of_model(slow, "gemm", precision="int8-static")])
    assert gemm_peak_share(of_model(slow, "minilm", precision="int8-dynamic"), peaks) == pytest.approx(1.0)
    assert gemm_peak_share(of_model(slow, "minilm", precision="bf16"), peaks) is None
