"""The paper's values and which rows have one."""

import pytest

from inferlab.analyze.paper import paper_tables, paper_values

ROW = {"path": "direct", "precision": "fp32", "batching": "none", "cache_share": 0.0}
ROW |= {"optimization": "original", "model": "minilm", "twin": False}


@pytest.mark.parametrize(
    ("path", "precision", "batching", "expected"),
    [
        ("direct", "fp32", "none", 12.5),
        ("fastapi", "fp32", "none", 15.2),
        ("direct", "int8-static", "none", 10.8),
        ("direct", "fp32", "dynamic", 9.4),
        ("fastapi", "int8-static", "none", 11.2),
        ("fastapi", "fp32", "dynamic", 8.9),
        ("direct", "int8-static", "dynamic", None),
        ("fastapi-plain", "fp32", "none", None),
    ],
)
def test_the_papers_six_rows_and_no_other(path: str, precision: str, batching: str, expected: float | None) -> None:
    optimization = "original" if precision == "fp32" else "quantized"
    keys = {"path": path, "precision": precision, "batching": batching}
    keys |= {"optimization": optimization, "model": "minilm", "twin": False, "cache_share": 0.0}
    assert paper_values(keys, ("latency_mean_ms",)) == {"paper_latency_mean_ms": expected}


def test_a_pruned_model_has_no_published_value() -> None:
    assert paper_values({**ROW, "optimization": "pruned"}, ("cpu_percent",)) == {"paper_cpu_percent": None}


@pytest.mark.parametrize("change", [{"twin": True}, {"model": "noop"}, {"cache_share": 0.1}])
def test_the_paper_has_no_twin_no_cache_and_no_model_that_does_nothing(change: dict[str, object]) -> None:
    assert paper_values(ROW, ("cpu_percent",)) == {"paper_cpu_percent": 45}
    assert paper_values({**ROW, **change}, ("cpu_percent",)) == {"paper_cpu_percent": None}


def test_the_source_is_named() -> None:
    assert "Tables 1-3" in paper_tables()["source"]
    assert len(paper_tables()["configurations"]) == 6
