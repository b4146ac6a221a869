"""Accuracy of every artifact."""

from inferlab.analyze.quality import quality_table
from inferlab.analyze.results import ResultSet


def test_every_artifact_has_a_line_with_its_interval_or_its_reason(results: ResultSet) -> None:
    frame = quality_table([results], 0.95).set_index(["optimization", "target"])
    assert len(frame) == len(results.quality)
    line = frame.loc[("quantized", "cpu-openvino")]
    original = frame.loc[("original", "cpu-openvino")]
    assert line["low"] < line["value"] < line["high"]
    assert abs(line["difference"] - (line["value"] - original["value"])) < 1e-9
    assert frame.loc[("original", "inf2-neuronx"), "reason"] == "no Neuron device was found"
    assert frame[frame["outcome"] != "measured"]["value"].isna().all()


def test_no_sets_give_an_empty_table() -> None:
    assert quality_table([], 0.95).empty
