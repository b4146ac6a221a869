"""Every page's tables and figures from synthetic tables, and what they must say."""

import re
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic_results import NO_ACCELERATOR, NO_ENERGY, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.tables import write_tables
from inferlab.measure.precision import RoundsRule
from inferlab.report import (
    breakdown,
    caching,
    cold_start,
    comparisons,
    engagement,
    engines,
    latency,
    machines,
    optimization,
    scalability,
    stopping,
    summary,
    throughput,
    tuning,
    utilization,
)
from inferlab.report.page import Page, head, page_html, pages_of
from inferlab.report.source import Report, open_report
from inferlab.report.text import Fragment, factor, with_interval

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")

REPOSITORY = Path(__file__).parents[3]
TABLES = [latency.latency_tables, throughput.throughput_tables, utilization.utilization_tables]
FIGURES = [
    latency.latency_figures,
    throughput.throughput_figures,
    utilization.utilization_figures,
    optimization.optimization_figures,
    caching.caching_figures,
    scalability.load_figures,
    breakdown.breakdown_figures,
    cold_start.cold_start_figures,
    tuning.tuning_figures,
    comparisons.comparison_figures,
    machines.work_figures,
]


@cache
def rendered(report: Report, make: Callable[[Report], Fragment]) -> str:
    """What is looked at more than once, drawn once."""
    return make(report).html


@pytest.mark.parametrize("make", TABLES)
def test_paper_tables_have_every_target_and_the_papers_column(
    report: Report, make: Callable[[Report], Fragment]
) -> None:
    html = make(report).html
    for target in ("cpu-eager", "cpu-openvino", "cuda-inductor", "inf2-neuronx"):
        assert target in html
    assert ">paper<" in html
    assert "Noise floor from the A/A twin" in html
    assert html.count("no Neuron device was found") == 2  # once a model
    tables = html.split("<h3>")[1:]
    assert [">paper<" in table for table in tables] == ["<h3>minilm" in "<h3>" + table for table in tables]
    assert [("Paper: AWS Inferentia" in table) for table in tables] == [True, False]


def test_latency_is_in_milliseconds_beside_the_paper(report: Report) -> None:
    html = latency.latency_tables(report).html
    assert "15.2 ± 1.1" in html
    frame = report.of_set("latency", report.sets[0])
    frame = frame[(frame["study"] == "serving") & (frame["outcome"] == "measured")]
    first = frame.iloc[0]
    shown = with_interval(first["latency_mean_s"], first["latency_mean_low_s"], first["latency_mean_high_s"], 1000)
    assert shown.replace(" [", "\n[") in html


def test_what_is_not_measured_is_said_once_a_table_with_its_reason(report: Report) -> None:
    html = utilization.utilization_tables(report).html
    said = f"Not measured here: energy of the CPU packages: {NO_ENERGY}. use of an accelerator: {NO_ACCELERATOR}."
    assert html.count(escape(said)) == 2  # once a model
    assert "J per request" not in html


def test_energy_has_a_column_where_it_was_measured(tmp_path: Path) -> None:
    truth = Synthetic(studies=("serving",), rounds=3, requests=10, samples=20, watts=25.0)
    write_results(tmp_path / "results" / "machines", truth)
    write_tables(tmp_path / "results", STUDY_SCENARIOS, ["common-rate"], 0.95, None)
    with_energy = open_report(str(tmp_path), "full", "", 0.95)
    html = utilization.utilization_tables(with_energy).html
    assert "energy, J per request" in html
    assert NO_ENERGY not in html
    frame = with_energy.table("utilization")
    line = frame[(frame["scenario"] == "eight-callers") & (frame["outcome"] == "measured")].iloc[0]
    bounds = line[["energy_j_per_request", "energy_j_per_request_low", "energy_j_per_request_high"]]
    assert with_interval(*bounds).replace(" [", "\n[") in html


def test_optimizations_show_accuracy_engagement_and_both_speed_ups(report: Report) -> None:
    html = optimization.optimization_tables(report).html
    for word in ("× cpu-eager", "× best fp32", "accuracy", "MACs kept", "sparse† · fastapi"):
        assert word in html
    assert '<h2 title="machine machine-b, environment environment-a">Synthetic 3000, 1 core (b)</h2>' in html


class OfEngines(Report):
    """As if the study of optimizations were that of engines, and had measured the peak."""

    def of_set(self, name: str, found: dict[str, Any]) -> pd.DataFrame:
        frame = super().of_set(name, found)
        if name == "optimization":
            frame = frame.assign(gemm_peak_share=0.42)
        return frame.assign(study=frame["study"].replace("optimization", "engines")) if "study" in frame else frame


def test_engines_show_speed_ups_and_engagement_and_how_to_select_the_study(report: Report) -> None:
    assert escape(engines.NOT_SELECTED) in engines.engine_tables(report).html
    html = engines.engine_tables(OfEngines(report.results, report.profile, report.label, report.confidence)).html
    for word in ("× cpu-eager", "× best fp32", "MACs in low precision", "of GEMM peak", "42"):
        assert word in html


def test_the_front_page_leaves_caches_out(report: Report) -> None:
    for html in (summary.best_tables(report).html, summary.answers(report).html):
        assert "cache of" not in html
    assert "lowest p50 latency, ms, one caller" in summary.best_tables(report).html
    assert "answers most over HTTP under eight callers" in summary.answers(report).html


def test_caching_shows_hits_beside_those_expected_and_says_where_there_was_no_study(report: Report) -> None:
    html = caching.caching_tables(report).html
    for text in (
        "50 distinct requests",
        "1/k^1",
        "fastapi · batching · cache of 10\N{NO-BREAK SPACE}%",
        "expected",
        "miss ms",
    ):
        assert text in html
    here, elsewhere = html.split("machine-b", 1)
    assert "this run does not select it" in elsewhere
    assert "this run does not select it" not in here
    lines = report.of_set("caching", report.sets[0]).set_index(["model", "cache_share"])
    assert (
        with_interval(*lines.loc[("minilm", 0.1), ["speedup", "speedup_low", "speedup_high"]]).replace(" [", "\n[")
        in html
    )


def test_scalability_shows_every_load_its_knee_and_where_there_was_no_study(report: Report) -> None:
    html = scalability.load_tables(report).html
    here, elsewhere = html.split("machine-b", 1)
    for text in ("64 callers", "load 50", "saturated", "greatest power", "requests/s", "Noise floor"):
        assert text in here
    assert "this run does not select it" in elsewhere
    assert "this run does not select it" not in here
    line = report.of_set("scalability", report.sets[0]).set_index(["model", "scenario"]).loc[("minilm", "load-50")]
    shown = with_interval(*line.iloc[0][["latency_p50_s", "latency_p50_low_s", "latency_p50_high_s"]], 1000)
    assert shown.replace(" [", "\n[") in here
    figures = scalability.load_figures(report).html
    assert figures.count("<figure>") == 4


def test_breakdown_has_every_stage_with_its_share_and_says_where_there_was_no_study(report: Report) -> None:
    html = breakdown.breakdown_tables(report).html
    here, elsewhere = html.split("machine-b", 1)
    for text in (
        "transport",
        "batch assembly",
        "serialization",
        "server&#x27;s account",
        "eight callers",
        "Noise floor",
    ):
        assert text in here
    assert "The study was not measured" in elsewhere
    assert "The study was not measured" not in here
    frame = report.of_set("breakdown", report.sets[0])
    line = frame[(frame["path"] == "fastapi") & (frame["outcome"] == "measured")].iloc[0]
    shown = with_interval(line["infer_s"], line["infer_low_s"], line["infer_high_s"], 1000).replace(" [", "\n[")
    assert f"{shown}\n40.0 %" in here
    assert "(no encoder)" not in here, "variants of the handler have a table of their own"
    assert "[0, 0]" not in here, "nobody measured a stage that is not there"
    assert here.count("server&#x27;s own account") == 1, "what columns mean stands above all tables"
    figures = breakdown.breakdown_figures(report).html
    assert figures.count("<figure>") == 2, "one a model"


def test_every_ingredient_has_its_cost_and_a_verdict(report: Report) -> None:
    html = breakdown.ablation_tables(report).html
    frame = report.of_set("ablation", report.sets[0])
    for line in frame[frame["model"] == "minilm"].to_dict("records"):
        assert f">{line['ingredient']}<" in html
        shown = with_interval(line["cost_s"], line["cost_low_s"], line["cost_high_s"], 1e6)
        assert shown.replace(" [", "\n[").replace("-", "−") in html
    for text in ("▲ costs", "= tie", "Holm", "Costs do not add up"):
        assert text in html
    # The floor of means that verdicts were held against, and not that of medians on other pages.
    for scenario, lines in frame[frame["model"] == "minilm"].groupby("scenario"):
        assert f"{scenario.replace('-', ' ')} {factor(lines['noise_floor'].iloc[0])}" in html
    assert "from the handler&#x27;s A/A twin" in html
    assert "machine-b" not in html


def test_a_variant_that_was_not_measured_says_why(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Report.table
    ablation = table(report, "ablation")
    absent = ablation["handler"] == "binary"
    ablation.loc[absent, ["outcome", "reason"]] = ["invalid", "the client was late"]
    ablation.loc[absent & (ablation["scenario"] == "one-caller"), "outcome"] = "measured"
    ablation.loc[ablation["handler"] == "middleware", ["outcome", "reason"]] = ["invalid", "the machine was busy"]
    monkeypatch.setattr(Report, "table", lambda self, name: ablation if name == "ablation" else table(self, name))
    html = breakdown.ablation_tables(report).html
    assert "JSON instead of binary tensors; eight callers invalid: the client was late" in html
    assert "middleware: invalid: the machine was busy" in html
    assert "twin was not measured" not in html
    ablation["noise_floor"] = float("nan")
    assert "twin was not measured" in breakdown.ablation_tables(report).html


def test_cold_starts_show_first_answers_what_they_went_to_and_where_there_was_no_study(report: Report) -> None:
    html = cold_start.cold_start_tables(report).html
    here, elsewhere = html.split("machine-b", 1)
    for text in ("process start", "page cache", "first answer, s", "× cpu-eager", "Noise floor", "no Neuron device"):
        assert text in here
    assert "run.studies=[cold-start]" in elsewhere
    assert "run.studies=[cold-start]" not in here
    lines = report.of_set("cold_start", report.sets[0])
    line = lines[(lines["model"] == "minilm") & (lines["outcome"] == "measured")].iloc[-1]
    for name, scale in (("first_answer", 1), ("session_load", 1), ("second_request", 1000), ("cpu", 1)):
        bounds = line[[f"{name}_s", f"{name}_low_s", f"{name}_high_s"]]
        assert with_interval(*bounds, scale).replace(" [", "\n[") in here
    assert cold_start.cold_start_figures(report).html.count("<figure>") == 2


def test_tuning_says_what_was_searched_what_the_machine_permits_and_what_it_is_worth(report: Report) -> None:
    html = tuning.tuning_tables(report).html
    here, elsewhere = html.split("machine-b", 1)
    assert "run.studies=[tuning]" in elsewhere
    assert "run.studies=[tuning]" not in here
    for text in (
        "99th percentile of latency is at most 100 ms",
        "batch limit 1, 4, 8, threads 1, replicas 1; at most 3 trials",
        "grants the server 1 core, which holds one replica of one thread: only the batch limit could vary here",
        "permits 3 candidates, so that each was tried",
        "The trials decide, and the rounds judge",
        "the search chose batch limit 4, threads 1, replicas 1 instead of batch limit 8, threads 1, replicas 1",
        "unsupported: it ran out of memory",
        "★ chosen",
        "no Neuron device was found",
        "original · fastapi · batching · tuned",
    ):
        assert text in here
    lines = report.of_set("tuning", report.sets[0])
    line = lines[(lines["model"] == "minilm") & lines["tuned"] & (lines["outcome"] == "measured")].iloc[0]
    ratio = with_interval(*line[["ratio", "ratio_low", "ratio_high"]])
    assert here.count(f"× {ratio} that of the default") == 1


def test_on_more_cores_than_one_the_page_says_how_many_candidates_they_permit(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Report.table
    changed = table(report, "tuning").assign(cores_granted=8, candidates=40, never_kept=1)
    monkeypatch.setattr(Report, "table", lambda self, name: changed if name == "tuning" else table(self, name))
    html = tuning.tuning_tables(report).html
    assert "This machine grants the server 8 cores, and permits 40 candidates." in html
    assert "only the batch limit" not in html
    assert "no rate kept the limit, which count as 0 and have no ratio: 8." in html


def test_a_search_that_found_nothing_better_says_so(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Report.table
    trials = table(report, "trials")
    changed = trials.assign(chosen=trials["trial"] == 0)
    monkeypatch.setattr(Report, "table", lambda self, name: changed if name == "trials" else table(self, name))
    assert "no trial was better than the default, so that tuned is the default" in tuning.tuning_tables(report).html
    changed = changed.assign(rate_per_s=changed["rate_per_s"] * 0)
    html = tuning.tuning_tables(report).html
    assert "no candidate kept the limit at any rate, so that the default stands" in html


def test_ten_times_the_load_stands_beside_the_claim(report: Report) -> None:
    html = scalability.tenfold_tables(report).html
    assert "less than 5% performance degradation under 10x load increases" in html.replace("&quot;", '"')
    assert "load 10 → load 100 (× 10)" in html
    assert "one caller → eight callers (× 8)" in html
    assert "▲ above it" in html
    assert "machine-b" not in html


def test_the_highest_rate_under_a_limit_says_how_it_was_found(report: Report) -> None:
    html = scalability.rate_limit_tables(report).html
    assert "at most 100 ms, found in every round by bisection: 4 blocks" in html
    assert "1/16 of that" in html
    lines = report.of_set("rate_limits", report.sets[0])
    for line in lines[lines["model"] == "minilm"].to_dict("records"):
        assert with_interval(line["rate_per_s"], line["rate_low_per_s"], line["rate_high_per_s"]) in html
    assert "no rate broke the limit, so that the true one may be higher: original · fastapi" in html, "noop is fast"


def test_rounds_that_a_rule_ended_say_by_which_and_how_precise_they_are(report: Report, tmp_path: Path) -> None:
    assert stopping.stopping_tables(report).html == ""
    rule = RoundsRule(precision=0.001, least_rounds=2, max_rounds=4)
    write_results(tmp_path / "results" / "machines", Synthetic(studies=("optimization",), rounds=4, stop=rule))
    write_tables(tmp_path / "results", STUDY_SCENARIOS, ["common-rate"], 0.95, None)
    ruled = open_report(str(tmp_path), "full", "", 0.95)
    html = stopping.stopping_tables(ruled).html
    line = ruled.table("stopping").iloc[0]
    for text in ("optimization: minilm", "2 to 4", "×/÷ 1.001", factor(line["reached"]), "the most rounds were done"):
        assert text in html
    assert f"{line['widest']}, " in html


def test_comparisons_show_verdicts_noise_and_interactions(report: Report) -> None:
    html = comparisons.comparison_tables(report).html
    assert "▲ better" in html
    assert "▼ worse" in html
    assert "= tie" in html
    for against in ("the reference", "original on the same target"):
        assert f"<h4>Against {against}</h4>" in html
        assert f"throughput over that of {against}" in rendered(report, comparisons.comparison_figures)
    assert f"study cold-start · {A}: p50 latency over that of the reference" in rendered(
        report, comparisons.comparison_figures
    )
    assert "×/÷ 1." in comparisons.noise_tables(report).html
    assert not re.search("[±] ?[0-9.]+ %", html + comparisons.noise_tables(report).html)
    assert "precision × batching × path" in comparisons.interaction_tables(report).html


def test_more_rounds_are_whole_numbers(report: Report) -> None:
    frame = report.table("comparisons").head(1).assign(verdict="tie", note="", more_rounds_needed=1234.0)
    line = comparisons.verdict_line(frame.to_dict("records")[0])
    assert line["more"] == "1,234"
    assert comparisons.verdict_line({**frame.to_dict("records")[0], "more_rounds_needed": float("nan")})["more"] == "–"


def test_a_twin_that_differs_is_said_for_its_scenario_and_metric(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Report.table
    noise = table(report, "noise").assign(twin_warning="")
    for warning, count in (("", 0), ("its median is off by 7.5 %", 1)):
        noise.loc[0, "twin_warning"] = warning
        monkeypatch.setattr(
            Report, "table", lambda self, name, noise=noise: noise if name == "noise" else table(self, name)
        )
        html = comparisons.noise_tables(report).html
        assert html.count("▲ its median is off by 7.5 %") == count
        assert html.count("▲ The twin&#x27;s interval excludes 1") == count
        assert summary.best_tables(report).html.count("▲ In 1 of") == count


def test_optimizations_have_a_verdict_against_each_reference(report: Report) -> None:
    html = optimization.optimization_tables(report).html
    for against in ("the reference", "original on the same target"):
        assert f"against {against}<" in html
    assert "= tie" in html
    assert "▲ better" in html


@pytest.mark.parametrize("make", FIGURES)
def test_figures_are_inline_svg_with_captions(report: Report, make: Callable[[Report], Fragment]) -> None:
    html = rendered(report, make)
    assert html.count("<svg ") == html.count("<figcaption>") >= 1
    assert "<dc:date>" not in html
    assert not re.search(r"https?://(?!www\.w3\.org|purl\.org|creativecommons\.org)", html)


def test_equal_tables_give_equal_figures(report: Report) -> None:
    assert throughput.throughput_figures(report).html == throughput.throughput_figures(report).html


def test_summary_answers_first_and_lists_what_is_missing(report: Report) -> None:
    answer = summary.answers(report).html
    assert re.search(r"minilm: cpu-openvino · quantized · fastapi · batching answers most over HTTP", answer)
    assert "times the original on cpu-eager and" in answer
    assert "times the original on cpu-openvino" in answer
    assert "Accuracy" in answer
    assert "noop" not in answer
    assert "over HTTP" in summary.best_tables(report).html
    assert "differs by at most" in summary.best_tables(report).html
    noop = summary.best_tables(report).html.split(">noop<")[1]
    assert "1.00<" not in noop
    absent = summary.absent_list(report).html
    assert "how to get it: start an inf2.xlarge instance" in absent
    assert "the client was late" in absent


def test_the_front_page_links_to_every_other_page() -> None:
    links = summary.page_links(str(REPOSITORY)).html
    front, *others = pages_of(REPOSITORY / "notebooks")
    assert (front.name, front.answers) == ("index", "")
    assert others
    assert all(f'href="{page.name}.html">{page.title}</a>: {escape(page.answers)}' in links for page in others)


def test_head_names_machines_versions_and_the_profiles_label(report: Report) -> None:
    quick = Report(report.results, report.profile, "quick: low confidence", report.confidence)
    html = head(quick, "Title", "Answer").html
    assert "quick: low confidence" in html
    assert "This run: Synthetic 3000, 1 core (a)</b> · machine machine-a" in html
    assert "Another run: Synthetic 3000, 1 core (b)</b> · machine machine-b" in html
    assert "torch 2.13.0+cpu" in html
    assert "quick" not in head(report, "Title", "Answer").html


def test_a_profile_without_results_says_so(report: Report) -> None:
    empty = Report(report.results, "quick", "", 0.95)
    assert "No results of the profile" in head(empty, "Title", "Answer").html
    assert latency.latency_tables(empty).html == ""


def test_a_page_needs_nothing_from_elsewhere() -> None:
    pages = [Page("index", "Summary", 1), Page("latency", "Latency", 2)]
    html = page_html(pages, "latency", "<p>body</p>")
    assert html.startswith("<!doctype html>")
    assert 'name="viewport"' in html
    assert '<a href="latency.html" aria-current=page>' in html
    assert "http" not in html
    assert "<script" not in html


A, B = "Synthetic 3000, 1 core (a)", "Synthetic 3000, 1 core (b)"
SECTIONS = [
    *TABLES,
    *FIGURES[:-1],
    optimization.optimization_tables,
    comparisons.noise_tables,
    comparisons.comparison_tables,
    comparisons.interaction_tables,
    caching.caching_tables,
    scalability.load_tables,
    scalability.rate_limit_tables,
    scalability.tenfold_tables,
    breakdown.breakdown_tables,
    breakdown.ablation_tables,
    cold_start.cold_start_tables,
    tuning.tuning_tables,
    summary.best_tables,
    engagement.engagement_tables,
]


@pytest.mark.parametrize("make", SECTIONS)
def test_every_table_and_figure_names_its_machine_where_there_are_several(
    report: Report, make: Callable[[Report], Fragment]
) -> None:
    html = rendered(report, make)
    heads = re.findall(r'<th class="[^"]*gt_col_heading[^"]*"[^>]*scope="col[^>]*>(.*?)</th>', html, re.DOTALL)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    named = [head for head in heads if A in head or B in head]
    assert len(named) == html.count("<thead>")
    assert all(A in caption or B in caption for caption in captions)
    assert named or captions
    assert len(set(re.findall(r'<div id="([^"]+)"', html))) == html.count('<div id="')


def test_one_machine_alone_is_named_in_the_head_only(report: Report) -> None:
    alone = Report(report.results, report.profile, "", 0.95)
    alone.__dict__["sets"] = report.sets[:1]
    assert A not in latency.latency_tables(alone).html + throughput.throughput_figures(alone).html
    assert A in head(alone, "Title", "Answer").html
    assert "inferlab bring FOLDER" in machines.machine_tables(alone).html
    assert "inferlab bring" not in machines.machine_tables(report).html


def test_the_same_work_stands_side_by_side_and_says_that_it_is_not_paired(report: Report) -> None:
    html = machines.work_tables(report).html
    frame = report.table("machine_comparisons")
    assert set(frame["study"]) == {"optimization"}
    line = frame[(frame["machine_id"] == "machine-b") & (frame["metric"] == "latency_p50_s")].iloc[0]
    assert with_interval(line["value"], line["value_low"], line["value_high"], 1000).replace(" [", "\n[") in html
    shown = with_interval(line["ratio"], line["ratio_low"], line["ratio_high"])
    assert f">{shown} {machines.VERDICTS[line['verdict']]}<" in html
    for text in ("Unpaired", "Welch", "There is no noise floor", f"over {A}", f"cpu-openvino · {B}", ">same<"):
        assert text in html
    assert html.count(">reference<") == len(frame) / 2


def test_environments_that_differ_are_said_version_by_version(tmp_path: Path) -> None:
    sizes = {"studies": ("optimization",), "rounds": 3, "requests": 10, "samples": 20}
    for environment, torch in (("py3.11.9-1", "2.13.0+cpu"), ("py3.11.9-2", "2.9.0")):
        truth = Synthetic(environment_id=environment, torch=torch, **sizes)
        write_results(tmp_path / "results" / "machines", truth)
    write_tables(tmp_path / "results", STUDY_SCENARIOS, ["common-rate"], 0.95, None)
    both = open_report(str(tmp_path), "full", "", 0.95)
    html = machines.machine_tables(both).html
    first, second = "Synthetic 3000, 1 core, torch 2.13.0", "Synthetic 3000, 1 core, torch 2.9.0"
    assert f"{second} against {first}: torch 2.9.0 (not 2.13.0+cpu)." in html
    assert [found["id"] for found in both.sets] == ["machine-a-py3-11-9-1", "machine-a-py3-11-9-2"]
    tables = optimization.optimization_tables(both).html
    assert f">{first}</h2>" in tables
    assert f">{second}</h2>" in tables


NOT_SKIPPED = "50 % of the weights are zero, and no kernel skips them"


@pytest.mark.parametrize(
    "make", [optimization.optimization_tables, comparisons.comparison_tables, engagement.engagement_tables]
)
def test_what_did_not_engage_is_marked_and_a_footnote_says_why(
    report: Report, make: Callable[[Report], Fragment]
) -> None:
    html = make(report).html
    for part in html.split("<h3>")[1:]:
        marked = "sparse†" in part
        assert marked == (f"† Did not engage: sparse on cpu-eager, sparse on cpu-openvino: {NOT_SKIPPED}." in part)
        assert "quantized†" not in part
    assert "sparse†" in html
    assert "sparse ·" not in html


TABLE_OF = {
    latency.latency_tables: "latency",
    throughput.throughput_tables: "throughput",
    utilization.utilization_tables: "utilization",
    caching.caching_tables: "caching",
    scalability.load_tables: "scalability",
    scalability.rate_limit_tables: "rate_limits",
    scalability.tenfold_tables: "tenfold",
    breakdown.breakdown_tables: "breakdown",
    cold_start.cold_start_tables: "cold_start",
    tuning.tuning_tables: "tuning",
    summary.best_tables: "optimization",
}


@pytest.mark.parametrize("make", TABLE_OF)
def test_every_page_marks_an_optimization_that_did_not_engage(
    report: Report, make: Callable[[Report], Fragment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if no artifact had taken up what was asked for."""
    assert "original†" not in make(report).html
    table = Report.table
    reason = "no operator took it up"

    def missed(self: Report, name: str) -> pd.DataFrame:
        frame = table(self, name)
        return frame.assign(not_engaged=reason) if "not_engaged" in frame else frame

    monkeypatch.setattr(Report, "table", missed)
    html = make(report).html
    assert not re.search("(original|quantized) · ", html)
    assert html.count("† Did not engage: ") >= len(table(report, TABLE_OF[make])["model"].unique())
    assert f": {reason}." in html


@pytest.mark.parametrize(
    "make", [latency.latency_figures, optimization.optimization_figures, tuning.tuning_figures, machines.work_figures]
)
def test_figures_say_what_the_mark_means(
    report: Report, make: Callable[[Report], Fragment], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Report.table
    monkeypatch.setattr(
        Report,
        "table",
        lambda self, name: frame.assign(not_engaged="x") if "not_engaged" in (frame := table(self, name)) else frame,
    )
    html = make(report).html
    assert html.count("†: did not engage, see the tables.</figcaption>") == html.count("</figcaption>") > 0


def test_the_same_work_is_marked_by_target(report: Report) -> None:
    html = machines.work_tables(report).html
    for target in ("cpu-eager", "cpu-openvino"):
        assert html.count(f">{target}† · ") == 2, "sparse, on two machines"
    assert f"† Did not engage: sparse on cpu-eager, sparse on cpu-openvino: {NOT_SKIPPED}." in html
    assert "†" not in summary.best_tables(report).html, "no best configuration is sparse"


def test_cores_used_stand_beside_those_granted(report: Report) -> None:
    html = engagement.engagement_tables(report).html
    for text in ("used of granted", "90 %", "80 %", "95 %", "of these skipped", "no Neuron device was found"):
        assert text in html
    assert html.count("▼ no") == 2 * 3, "sparse on two targets, of two models here and of one elsewhere"
