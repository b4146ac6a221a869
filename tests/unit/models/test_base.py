from typing import Any

import pytest
from pydantic import ValidationError
from train.tiny import tiny_model

from inferlab.errors import UnknownNameError, Unsupported
from inferlab.models.base import MODELS, Model
from models.rows import MINILM, PICTURES


def row(family: str, values: dict[str, Any]) -> Model:
    return MODELS.get(family).model_validate({"name": "m", "family": family, **values})


def test_the_families_are_registered() -> None:
    assert MODELS.names() == ["bert", "efficientnet-lite", "gemm", "minilm", "noop", "resnet"]


def test_a_data_set_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="'review-snippets' has texts; this family takes pictures"):
        row("efficientnet-lite", {**PICTURES, "dataset": MINILM["dataset"]})


def test_an_unknown_data_set_gets_a_near_match() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'fashion-mnist'"):
        row("efficientnet-lite", {**PICTURES, "dataset": {**PICTURES["dataset"], "name": "fashion-mist"}})


def test_a_wrong_key_of_a_data_set_is_located() -> None:
    with pytest.raises(ValidationError) as caught:
        row("minilm", {**MINILM, "dataset": {**MINILM["dataset"], "tset": 1}})
    assert [error["loc"] for error in caught.value.errors()] == [("dataset", "tset")]


def test_numbers_are_not_read_from_text() -> None:
    with pytest.raises(ValidationError):
        row("minilm", {**MINILM, "dataset": {**MINILM["dataset"], "train": "8600"}})


@pytest.mark.parametrize("family", ["efficientnet-lite", "minilm"])
def test_a_row_survives_json(family: str) -> None:
    values = PICTURES if family == "efficientnet-lite" else MINILM
    model = row(family, values)
    again = MODELS.get(family).model_validate_json(model.model_dump_json())
    assert again == model


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        tiny_model().name = "other"


def test_a_family_that_says_nothing_of_pruning_cannot_be_pruned() -> None:
    model = tiny_model()
    with pytest.raises(Unsupported, match="the family tiny does not say which of its layers may be pruned"):
        Model.pruning_hints(model, model.architecture())


def test_an_answer_names_the_label() -> None:
    import numpy as np

    answer = tiny_model().plain_answer({"logits": np.array([[0.5, 2.0]], dtype=np.float32)})
    assert answer == {"label": "right", "logits": [0.5, 2.0]}
