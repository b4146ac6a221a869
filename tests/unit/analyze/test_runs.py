"""What MLflow is told."""

import math
from pathlib import Path

import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.results import ResultSet, load_results
from inferlab.analyze.runs import RunContent, runs_of

from .conftest import INVALID


@pytest.fixture(scope="module")
def contents(results: ResultSet) -> list[RunContent]:
    return list(runs_of(results, STUDY_SCENARIOS, ["common-rate"], 0.95))


def test_every_step_artifact_quality_and_measurement_is_one_run(contents: list[RunContent], results: ResultSet) -> None:
    found = contents
    kinds = {kind: sum(run.kind == kind for run in found) for kind in {run.kind for run in found}}
    assert kinds["optimize"] == len(results.optimizations) == 4
    assert kinds["optimize-step"] == 3
    assert kinds["compile"] == len(results.artifacts) == 16
    assert kinds["quality"] == len(results.quality) == 16
    assert len({run.name for run in found}) == len(found)
    assert len({run.digest for run in found}) == len(found)


def test_a_measurement_has_parameters_and_metrics_with_units(contents: list[RunContent], results: ResultSet) -> None:
    name = "measure serving minilm/original/cpu-openvino/fastapi/dynamic one-caller"
    run = next(run for run in contents if run.name == name)
    assert run.params["path"] == "fastapi"
    assert run.params["rounds"] == "6"
    assert {"latency_p50_s", "throughput_mean_per_s", "cpu_s_per_request", "memory_pss_mib"} <= set(run.metrics)
    assert all(math.isfinite(value) for value in run.metrics.values())
    assert run.tags["outcome"] == "measured"


def test_what_a_cache_brought_is_among_the_metrics(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(studies=("caching",), rounds=3, requests=30, samples=40))
    found = {run.name: run for run in runs_of(load_results(tmp_path)[0], STUDY_SCENARIOS, [], 0.95)}
    run = found["measure caching minilm/original/cpu-openvino/fastapi/dynamic/cache-1 eight-callers"]
    assert run.params["cache_share"] == "1.0"
    assert run.metrics["hit_share"] == 1.0
    assert {"hit_share_expected", "speedup", "hit_latency_p50_s", "throughput_mean_per_s"} <= set(run.metrics)


def test_where_the_time_went_is_among_the_metrics(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(studies=("breakdown",), rounds=3, requests=30, samples=40))
    found = {run.name: run for run in runs_of(load_results(tmp_path)[0], STUDY_SCENARIOS, [], 0.95)}
    run = found["measure breakdown minilm/original/cpu-openvino/fastapi/none one-caller"]
    assert {"transport_s", "parse_s", "serialize_share", "throughput_mean_per_s"} <= set(run.metrics)
    variant = found["measure breakdown minilm/original/cpu-openvino/fastapi-plain/none/binary one-caller"]
    assert variant.params["handler"] == "binary"


def test_outcomes_that_are_no_measurement_are_runs_without_metrics(
    contents: list[RunContent], results: ResultSet
) -> None:
    absent = [run for run in contents if run.kind == "measurement" and run.tags["outcome"] == "unavailable"]
    assert absent
    assert all(run.metrics == {} and run.tags["reason"] for run in absent)
    invalid = [run for run in contents if run.name.startswith(f"measure serving {INVALID}")]
    assert {run.tags["outcome"] for run in invalid} == {"invalid"}


def test_digest_follows_the_content() -> None:
    one = RunContent(name="a", kind="compile", metrics={"size_bytes": 1.0})
    assert one.digest == RunContent(name="a", kind="compile", metrics={"size_bytes": 1.0}).digest
    assert one.digest != RunContent(name="a", kind="compile", metrics={"size_bytes": 2.0}).digest
