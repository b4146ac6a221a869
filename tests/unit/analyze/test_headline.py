"""Headline numbers and the heads of pages."""

import json

from inferlab.analyze.comparisons import noise_table
from inferlab.analyze.headline import headline, machine_table
from inferlab.analyze.latency import latency_table
from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import Row

THIS = ("machine-a", "environment-a", "full")


def test_headline_holds_accuracy_medians_and_noise(rows: list[Row], results: ResultSet) -> None:
    found = headline(THIS, latency_table(rows, 0.95), optimization_table(rows, 0.95), noise_table(rows, 0.95))
    accuracy = results.quality[("minilm", "pruned", "cpu-openvino")].value
    assert found["accuracy"]["minilm"]["cpu-openvino"]["pruned"] == accuracy
    assert 9 < found["latency_p50_ms"]["minilm"]["one-caller"]["cpu-openvino/original"] < 13
    assert 0 <= found["aa_twin_percent"]["serving"]["minilm"]["throughput_per_s"] < 5
    json.dumps(found)


def test_another_machines_numbers_are_no_headline(rows: list[Row]) -> None:
    frames = latency_table(rows, 0.95), optimization_table(rows, 0.95), noise_table(rows, 0.95)
    assert headline(("other", "environment-a", "full"), *frames) == {}
    assert headline(None, *frames) == {}


def test_machine_line_counts_blocks_and_names_the_day(results: ResultSet) -> None:
    line = machine_table([results], THIS).iloc[0]
    assert line["this_run"]
    assert line["blocks"] == len(results.blocks)
    assert line["blocks_invalid"] == (results.blocks["outcome"] == "invalid").sum() > 0
    assert line["measured_from"] == "2026-09-21"
    assert json.loads(line["packages"])["torch"] == "2.13.0+cpu"
