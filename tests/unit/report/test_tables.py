"""The look that all tables share."""

import re

import pandas as pd

from inferlab.report.source import Report
from inferlab.report.tables import (
    MUTED,
    STUB,
    Column,
    bullet_list,
    lines_by_target,
    noise_note,
    paper_columns,
    paper_note,
    render,
    rounds_note,
)


def test_render_escapes_groups_and_mutes() -> None:
    lines = [
        {"group": "one", "stub": "a <b>", "x": "1.0 [0.9, 1.1]"},
        {"group": "one", "stub": "c", "x": "<i>"},
        {"group": "two", "stub": "absent", "muted": True},
    ]
    columns = [
        Column("x", "value", "under", two_lines=True),
        Column("y", "other", left=True),
        Column("z", "paper", absent=""),
    ]
    html = render("some-id", lines, columns, "name", ["a note & more", ""])
    assert "a &lt;b&gt;" in html
    assert "1.0\n[0.9, 1.1]" in html
    assert "&lt;i&gt;" in html
    assert html.count("–") == 2
    assert "color: #6b7280" in html
    assert '<p class="note">a note &amp; more</p>' in html
    assert html.index(">one<") < html.index("a &lt;b&gt;") < html.index(">two<")


def test_equal_content_is_equal_html() -> None:
    lines = [{"stub": "a", "x": "1"}]
    first, second = (render("same", lines, [Column("x", "value")], "name") for _ in range(2))
    assert first == second


def test_a_reason_is_said_once_for_all_that_failed_alike(report: Report) -> None:
    frame = report.of_set("latency", report.sets[0])
    frame = frame[(frame["study"] == "serving") & (frame["model"] == "minilm")]
    lines = lines_by_target(frame, lambda group: {"count": str(len(group))})
    stubs = [line["stub"] for line in lines if line["group"] == "inf2-neuronx"]
    assert len(stubs) == 1
    assert stubs[0].startswith("all 9 configurations: unavailable: no Neuron device")
    eager = [line["stub"] for line in lines if line["group"] == "cpu-eager" and line.get("muted")]
    assert sum(stub.startswith("4 quantized configurations: unsupported") for stub in eager) == 1
    assert any("invalid: 0 of 4 rounds" in stub for stub in eager)
    measured = [line for line in lines if line["group"] == "cpu-openvino"]
    assert len(measured) == 10
    assert all(line["count"] == "3" for line in measured)


def test_a_scenario_without_a_number_says_why_beside_the_others(report: Report) -> None:
    frame = report.of_set("latency", report.sets[0])
    frame = frame[frame["configuration"] == "minilm/original/cpu-openvino/direct/none"].copy()
    open_loop = frame["scenario"] == "common-rate"
    frame.loc[open_loop, ["outcome", "reason"]] = ["invalid", "the server was saturated"]
    stub = lines_by_target(frame, lambda group: {})[0]["stub"]
    assert stub == "original · direct · no batching; common rate invalid: the server was saturated"


def test_the_noise_floor_stands_under_every_table(report: Report) -> None:
    noise = report.of_set("noise", report.sets[0])
    assert re.search(r"latency ×/÷ \d\.\d+, throughput ×/÷ \d\.\d+", noise_note(noise, "serving", "minilm"))
    assert "was not measured" in noise_note(noise, "serving", "nothing")


def test_a_twin_that_differs_is_said_where_the_floor_is(report: Report) -> None:
    noise = report.of_set("noise", report.sets[0])
    noise = noise[(noise["study"] == "serving") & (noise["model"] == "minilm")].assign(twin_warning="")
    assert "▲" not in noise_note(noise, "serving", "minilm")
    differs = (noise["scenario"] == "one-caller") & (noise["metric"] == "throughput_per_s")
    noise.loc[differs, "twin_warning"] = "its median is off by 7.5 %"
    said = noise_note(noise, "serving", "minilm")
    assert "▲ The twin differs from the reference: one caller, throughput (its median is off by 7.5 %)." in said
    assert "No difference below the floor is called one" in said


def test_columns_of_published_values_are_for_models_that_have_some() -> None:
    columns = [Column("paper", "mean", "paper")]
    frame = pd.DataFrame({"paper_a": [float("nan"), 1.0], "paper_b": [float("nan")] * 2})
    assert paper_columns(frame, columns) == columns
    assert paper_columns(frame.head(1), columns) == []
    assert (paper_note(frame, "Paper: x"), paper_note(frame.head(1), "Paper: x")) == ("Paper: x", "")


def test_rounds_and_left_out_blocks_are_said() -> None:
    frame = pd.DataFrame({"outcome": ["measured"] * 2, "rounds": [3, 4], "rounds_left_out": [1, 0]})
    assert rounds_note(frame) == "3 to 4 rounds a value; 1 invalid block is left out."
    assert rounds_note(frame.assign(rounds_left_out=1_000)).endswith("000 invalid blocks are left out.")
    assert rounds_note(frame.assign(outcome="invalid")) == ""


def test_lists_are_escaped() -> None:
    assert bullet_list(["a < b"]) == "<ul><li>a &lt; b</li></ul>"


def test_a_reason_has_its_whole_row_and_a_line_with_a_number_does_not() -> None:
    columns = [Column("p50", "p50"), Column("p99", "p99")]
    lines = [
        {STUB: "a", "p50": "1", "p99": "2"},
        {STUB: "b: no (such) device", MUTED: True},
        {STUB: "c", "p50": "3", MUTED: True},
    ]
    html = render("t", lines, columns, "row")
    assert re.search(r'<th colspan="3"[^>]*id="t-stub-2"[^>]*>b: no \(such\) device</th>\s*</tr>', html)
    assert html.count("gt_stub why") == 1
    assert [html.count(f'id="t-stub-{index}"') for index in (1, 2, 3)] == [1, 1, 1]
    assert len(re.findall(r"<td ", html)) == 4
