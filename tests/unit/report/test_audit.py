from pathlib import Path

from inferlab.report.audit import claim_table, little_table, row_label
from inferlab.report.source import Report

REPORT = Report(Path("results"), "full", "", 0.95)


def test_rows_are_named_by_what_makes_them() -> None:
    assert row_label({"path": "fastapi", "precision": "int8-static", "batching": "none"}) == "FastAPI · quantized"
    assert row_label({"path": "direct", "precision": "fp32", "batching": "dynamic"}) == "direct · batching"


def test_littles_law_names_the_rows_that_one_caller_explains_and_those_that_none_does() -> None:
    html = little_table(REPORT).html
    assert "can be: direct; FastAPI; direct · quantized. " in html
    assert "even with n = 3: FastAPI · batching. " in html
    for concurrency in ("1.00", "0.99", "0.97", "0.89", "0.84", "0.62"):
        assert f">{concurrency}<" in html


def test_claims_have_their_ratio_and_the_samples_that_show_them() -> None:
    html = claim_table(REPORT).html
    assert "FastAPI against direct" in html
    assert ">1.22<" in html
    assert ">4<" in html and ">6<" in html
    assert "Of 10 differences are significant: 0 with n = 3, 9 with n = 5, 10 with n = 10, 10 with n = 30." in html
    assert "With n = 6 all are." in html
