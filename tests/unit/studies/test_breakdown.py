from typing import Any

import pytest
from pydantic import ValidationError

from inferlab.studies.base import STUDIES
from inferlab.studies.breakdown import HANDLERS, Breakdown

ROW: dict[str, Any] = {"name": "b", "kind": "breakdown", "optimizations": ("original",), "scenarios": ("a",)}


def study(**more: Any) -> Breakdown:
    found = STUDIES.get("breakdown")(**ROW, **more)
    assert isinstance(found, Breakdown)
    return found


def test_every_path_is_there_and_each_variant_of_the_handler_once() -> None:
    rows = study().configurations("m", ["original", "quantized"], ["t"])
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids)) == 2 * 5 + len(HANDLERS)
    assert {(row.path, row.batching) for row in rows if row.optimization == "quantized"} == {
        ("direct", "none"),
        ("direct", "dynamic"),
        ("fastapi", "none"),
        ("fastapi", "dynamic"),
        ("fastapi-plain", "none"),
    }
    variants = [row for row in rows if row.handler]
    assert {row.handler for row in variants} == set(HANDLERS)
    assert {(row.optimization, row.path) for row in variants} == {("original", "fastapi-plain")}


def test_the_reference_is_the_ordinary_handler_of_the_original() -> None:
    rows = study().configurations("m", ["quantized", "original"], ["t"])
    assert [row.id for row in rows if study().is_reference(row)] == ["m/original/t/fastapi-plain/none"]


def test_a_model_stands_on_one_target_its_own_or_the_first() -> None:
    both = study(targets=("fast", "slow"), target_of={"noop": "slow"})
    assert {row.target for row in both.configurations("m", ["original"], ["fast", "slow"])} == {"fast"}
    assert {row.target for row in both.configurations("m", ["original"], ["slow"])} == {"slow"}
    assert {row.target for row in both.configurations("noop", ["original"], ["fast", "slow"])} == {"slow"}
    assert both.configurations("noop", ["original"], ["fast"]) == []


def test_a_target_that_the_study_does_not_cover_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"among fast \(that of noop is slow\)"):
        study(targets=("fast",), target_of={"noop": "slow"})
