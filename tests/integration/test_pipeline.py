"""The pipeline from an empty clone to rendered pages, on tiny settings with the real models."""

import json
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

if TYPE_CHECKING:
    from clones import Run

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def reproduced(run: "Run", clone: Path) -> Path:
    for command in (("inferlab", "build"), ("dvc", "repro")):
        result = run(*command, timeout_s=1400)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return clone


def blocks_of(root: Path) -> pd.DataFrame:
    parts = [pd.read_parquet(path) for path in sorted(root.glob("results/measurements/*/*/blocks.parquet"))]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def test_every_configuration_that_can_run_here_is_measured_in_every_round(reproduced: Path) -> None:
    plans = [json.loads(path.read_text()) for path in sorted(reproduced.glob("results/plans/*.json"))]
    assert len(plans) == 9
    blocks = blocks_of(reproduced)
    assert set(blocks["provenance"]) == {"hardware"}
    for plan in plans:
        expected = {row_id(row["configuration"]) for row in plan["configurations"] if row["outcome"] is None}
        own = blocks[(blocks["study"] == plan["study"]) & (blocks["model"] == plan["model"])]
        for _, group in own.groupby("round"):
            assert set(group["configuration"]) == expected
        # OpenVINO, which the study of caches covers, has nothing to compile of noop.
        assert bool(expected) == ((plan["study"], plan["model"]) != ("caching", "noop"))
        if expected:
            assert own["round"].nunique() == 2
            assert f"{plan['reference']}/twin" in expected
    assert (blocks["requests_ok"] > 0).all()
    assert (blocks["latency_p50_s"] > 0).all()
    assert (blocks["cpu_s"] >= 0).all()
    assert (blocks["memory_pss_mib"] > 10).all()


def row_id(configuration: dict[str, object]) -> str:
    parts = [str(configuration[key]) for key in ("model", "optimization", "target", "path", "batching")]
    parts += [f"cache-{configuration['cache_share']:g}"] if configuration["cache_share"] else []
    return "/".join([*parts, "twin"] if configuration["twin"] else parts)


def test_what_cannot_run_here_has_an_outcome_and_no_number(reproduced: Path) -> None:
    latency = pd.read_csv(reproduced / "results/tables/latency.csv")
    absent = latency[latency["outcome"] != "measured"]
    assert {"unavailable", "unsupported"} <= set(absent["outcome"])
    assert absent["reason"].str.len().gt(10).all()
    numbers = [column for column in latency if re.fullmatch(r"(latency|mean|std|p50|p95|p99).*_(s|ms)", column)]
    assert numbers
    assert absent[numbers].isna().all(axis=None)
    measured = latency.loc[latency["outcome"] == "measured", numbers[0]]
    assert len(measured) > 20
    assert measured.notna().all()


def test_quality_is_measured_on_every_artifact(reproduced: Path) -> None:
    records = [json.loads(path.read_text()) for path in reproduced.glob("results/quality/*/*/*/quality.json")]
    measured = {(r["model"], r["optimization"], r["target"]): r for r in records if r["outcome"] == "measured"}
    assert ("efficientnet-lite0", "quantized", "cpu-openvino") in measured
    assert ("minilm", "pruned", "cpu-eager") in measured
    assert all(r["low"] <= r["value"] <= r["high"] for r in measured.values())
    assert all(r["provenance"] == "hardware" for r in records)


def test_an_int8_artifact_runs_in_int8(reproduced: Path) -> None:
    for model in ("efficientnet-lite0", "minilm"):
        path = reproduced / f"build/artifacts/{model}/quantized/cpu-openvino/artifact.json"
        engagement = json.loads(path.read_text())["engagement"]
        assert engagement["low_precision_operators"] > 10


def test_pages_name_the_machine_and_the_profile(reproduced: Path) -> None:
    pages = sorted((reproduced / "reports").glob("*.html"))
    assert {page.stem for page in pages} >= {
        "index",
        "latency",
        "throughput",
        "utilization",
        "optimization",
        "comparisons",
    }
    machine = json.loads((reproduced / "results/machine.json").read_text())
    for page in pages:
        text = page.read_text()
        assert machine["machine_id"] in text, page
        assert "tiny: a test, no measurement" in text, page
        assert "unavailable" in (reproduced / "reports/latency.html").read_text()


def test_everything_is_in_mlflow_once(reproduced: Path) -> None:
    with sqlite3.connect(reproduced / "mlflow.db") as database:
        digests = database.execute("SELECT value FROM tags WHERE key = 'inferlab.content_digest'").fetchall()
        outcomes = {row[0] for row in database.execute("SELECT value FROM tags WHERE key = 'outcome'")}
    assert len(digests) > 50
    assert len(digests) == len(set(digests))
    assert {"measured", "unavailable", "unsupported"} <= outcomes


def test_a_second_run_measures_nothing_and_changes_nothing(reproduced: Path, run: "Run") -> None:
    before = {path: path.read_bytes() for path in reproduced.rglob("results/**/*") if path.is_file()}
    pages = {path: path.read_bytes() for path in reproduced.glob("reports/*") if path.is_file()}
    result = run("dvc", "repro")
    assert result.returncode == 0, result.stderr
    ran = set(re.findall(r"Running stage '([^']+)'", result.stdout))
    assert ran == {"probe", "collect"}
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.read_bytes() for path in pages} == pages


def test_a_damaged_artifact_is_named_by_its_checksum(reproduced: Path, run: "Run") -> None:
    folder = reproduced / "build/artifacts/noop/original/cpu-eager"
    victim = next(path for path in sorted(folder.iterdir()) if path.name != "artifact.json")
    content = victim.read_bytes()
    victim.chmod(0o644)
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        result = run("inferlab", "serve-and-measure", "--study", "serving", "--model", "noop")
    finally:
        victim.write_bytes(content)
    assert result.returncode == 1
    assert victim.name in result.stderr
    assert "damaged" in result.stderr
    assert "Traceback" not in result.stderr


def test_metrics_and_graph_can_be_shown(reproduced: Path, run: "Run") -> None:
    for command in (("dvc", "metrics", "show"), ("dvc", "dag", "--dot"), ("dvc", "params", "diff")):
        result = run(*command)
        assert result.returncode == 0, result.stderr
    assert "accuracy" in run("dvc", "metrics", "show").stdout
