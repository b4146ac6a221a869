import pytest
from pydantic import ValidationError

from inferlab.records import PayloadMix
from inferlab.studies.base import STUDIES

ROW = {
    "name": "c",
    "kind": "caching",
    "optimizations": ("original", "quantized"),
    "scenarios": ("a",),
    "payloads": {"distinct": 30, "zipf_exponent": 0.8},
    "cache_shares": (0.1, 1.0),
}


def test_caching_serves_every_endpoint_without_a_cache_and_with_each() -> None:
    study = STUDIES.get("caching")(**ROW)
    rows = study.configurations("m", ["original", "quantized"], ["t"])
    assert [row.id for row in rows] == [
        f"m/{optimization}/t/fastapi/dynamic{cache}"
        for optimization in ("original", "quantized")
        for cache in ("", "/cache-0.1", "/cache-1")
    ]
    assert [row.id for row in rows if study.is_reference(row)] == ["m/original/t/fastapi/dynamic"]
    assert study.mix == PayloadMix(distinct=30, zipf_exponent=0.8)


@pytest.mark.parametrize(
    ("shares", "wrong"),
    [
        ((0.0,), "greater than 0"),
        ((1.5,), "less than or equal to 1"),
        ((0.1, 0.1), r"these hold 3, 3"),
        ((0.1, 0.11), r"different numbers of the 30 payloads"),
        ((0.01,), r"at least one \(these hold 0\)"),
        ((), "at least 1 item"),
    ],
)
def test_shares_that_are_no_cache_of_their_own_are_refused(shares: tuple[float, ...], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        STUDIES.get("caching")(**{**ROW, "cache_shares": shares})


def test_other_studies_send_their_payloads_in_turn() -> None:
    study = STUDIES.get("optimization")(name="o", kind="optimization", optimizations=("original",), scenarios=("a",))
    assert study.mix == PayloadMix(distinct=16, zipf_exponent=None)
