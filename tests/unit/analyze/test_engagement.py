"""What artifacts took up of their optimizations, and the cores that their servers used."""

import math

import pandas as pd
import pytest

from inferlab.analyze.engagement import engagement_table
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import Row
from inferlab.records import Engagement


@pytest.fixture(scope="module")
def frame(results: ResultSet, rows: list[Row]) -> pd.DataFrame:
    return engagement_table([results], rows, 0.95).set_index(["optimization", "target"])


def test_every_artifact_has_a_line(frame: pd.DataFrame, results: ResultSet) -> None:
    assert len(frame) == len(results.artifacts) == 4 * 4
    absent = frame.loc[("original", "inf2-neuronx")]
    assert (absent["outcome"], absent["not_engaged"]) == ("unavailable", "")
    assert absent["hint"] == "start an inf2.xlarge instance"
    assert math.isnan(absent["operators"]) and math.isnan(absent["cores_used"])


def test_shares_are_those_of_the_manifest(frame: pd.DataFrame) -> None:
    quantized, sparse = frame.loc[("quantized", "cpu-openvino")], frame.loc[("sparse", "cpu-openvino")]
    assert (quantized["low_precision_operator_share"], quantized["low_precision_mac_share"]) == (0.8, 0.95)
    assert math.isnan(quantized["zeroed_weight_used_share"])
    assert (sparse["zeroed_weight_share"], sparse["zeroed_weight_used_share"]) == (0.5, 0.0)
    assert "no kernel skips them" in sparse["not_engaged"]
    assert frame.loc[("pruned", "cpu-eager"), "not_engaged"] == ""


def test_cores_are_those_of_the_most_callers_and_of_the_fastest_over_http(frame: pd.DataFrame) -> None:
    line = frame.loc[("original", "cpu-openvino")]
    assert (line["cores_granted"], line["cores_used_share"]) == (1, pytest.approx(0.9))
    assert line["cores_used_low"] <= line["cores_used"] <= line["cores_used_high"]
    assert "/fastapi/" in line["saturated_by"]
    assert ", eight-callers, study " in line["saturated_by"]


def made(**facts: object) -> Engagement:
    nothing = {
        "operators": 10,
        "low_precision_operators": 0,
        "low_precision_operator_share": 0.0,
        "low_precision_mac_share": 0.0,
        "zeroed_weight_share": 0.0,
        "sparse_kernels": False,
        "macs_removed_share": 0.0,
        "operators_on_accelerator_share": None,
        "note": "",
    }
    return Engagement.model_validate({**nothing, **facts})


@pytest.mark.parametrize(
    ("facts", "precision", "missed"),
    [
        ({}, "fp32", ""),
        (
            {"low_precision_operators": 3},
            "fp32",
            "fp32 was asked for, and 3 of 10 compute operators run in low precision",
        ),
        ({}, "int8-static", "int8-static was asked for, and no compute operator runs in low precision"),
        ({"low_precision_operators": 10, "low_precision_mac_share": 0.95}, "int8-static", ""),
        (
            {"low_precision_operators": 8, "low_precision_operator_share": 0.8, "low_precision_mac_share": None},
            "bf16",
            "",
        ),
        (
            {"low_precision_operators": 1, "low_precision_operator_share": 0.1, "low_precision_mac_share": None},
            "int8-static",
            "int8-static was asked for, and only 10 % of the operators run in low precision",
        ),
        (
            {"low_precision_operators": 1, "low_precision_mac_share": 0.04},
            "bf16",
            "bf16 was asked for, and only 4 % of the MACs run in low precision",
        ),
        ({}, "weight-only", "weights are stored in low precision, and no operator computes in it"),
        ({"zeroed_weight_share": 0.5}, "fp32", "50 % of the weights are zero, and no kernel skips them"),
        ({"zeroed_weight_share": 0.5, "sparse_kernels": True}, "fp32", ""),
        ({"zeroed_weight_share": 0.004}, "fp32", ""),
        ({"operators_on_accelerator_share": 1.0}, "fp32", ""),
        ({"operators_on_accelerator_share": 0.7}, "fp32", "only 70 % of the operators run on the accelerator"),
    ],
)
def test_what_did_not_take_effect(facts: dict[str, object], precision: str, missed: str) -> None:
    assert made(**facts).missed(precision) == missed


def test_several_reasons_stand_together() -> None:
    found = made(zeroed_weight_share=0.5).missed("int8-static")
    assert found.count(";") == 1
    assert found.startswith("int8-static was asked for")
