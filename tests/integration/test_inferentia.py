"""The pipeline on a machine with an Inferentia2 chip that is none: stand-ins answer, and every page says so."""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from clones import tiny_clone

from inferlab.params import load_params
from inferlab.stand_ins.install import fake_neuron

MODEL = "efficientnet-lite0"


def only_the_chip(params: dict[str, Any]) -> None:
    """Beside hardware, results of a stand-in would be refused."""
    params["run"].update(
        models=[MODEL], optimizations=["original", "int8"], targets=["inf2-neuronx"], studies=["optimization"]
    )
    params["optimizations"]["int8"] = {"precision": "int8-dynamic", "steps": []}
    params["studies"]["optimization"]["optimizations"] = ["original", "int8"]
    params["models"][MODEL]["image_size_px"] = 32
    params["models"][MODEL]["fit"].update(epochs=1, picture_sizes_px=[32])
    params["models"][MODEL]["finetune"]["picture_sizes_px"] = [32]
    params["compile"]["batch_sizes"] = [1, 2]
    params["serve"]["max_batch_size"] = 2
    params["studies"]["optimization"]["scenarios"] = ["two-callers"]


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which each stage ran once, in this process: DVC runs the same in test_pipeline.py."""
    root = tiny_clone(tmp_path_factory.mktemp("dry"), only_the_chip)
    with pytest.MonkeyPatch.context() as here, fake_neuron(tmp_path_factory.mktemp("device")):
        here.chdir(root)
        here.setenv("OMP_NUM_THREADS", "1")
        here.delenv("MLFLOW_TRACKING_URI", raising=False)
        run("probe")
        run("prepare", model=MODEL)
        for optimization in ("original", "int8"):
            for stage in ("optimize", "compile", "evaluate"):
                run(stage, model=MODEL, optimization=optimization)
        for stage in ("plan", "serve_and_measure"):
            run(stage, study="optimization", model=MODEL)
        run("collect")
        run("analyze")
        run("report", notebook="optimization")
    return root


def run(stage: str, **cell: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of packages among themselves, as outside of tests
        importlib.import_module(f"inferlab.stages.{stage}").run(load_params(Path("params.yaml")), Path(), **cell)


def test_a_server_is_measured_on_the_chip(dry: Path) -> None:
    blocks = pd.read_parquet(dry / f"results/measurements/optimization/{MODEL}/blocks.parquet")
    assert set(blocks["target"]) == {"inf2-neuronx"}
    assert set(blocks["twin"]) == {False, True}
    assert (blocks["requests_ok"] > 0).all()
    assert set(blocks["provenance"]) == {"fake"}
    assert set(blocks["accelerator_cores_granted"]) == {1.0}


def test_artifacts_and_quality_are_marked_as_what_they_are(dry: Path) -> None:
    folder = dry / f"build/artifacts/{MODEL}"
    original = json.loads((folder / "original/inf2-neuronx/artifact.json").read_text())
    assert (original["outcome"], original["provenance"]) == ("measured", "fake")
    assert [binary["batch_size"] for binary in original["binaries"]] == [1, 2]
    assert original["engagement"]["operators_on_accelerator_share"] == 1.0
    int8 = json.loads((folder / "int8/inf2-neuronx/artifact.json").read_text())
    assert (int8["outcome"], int8["files"]) == ("unsupported", {})
    quality = json.loads((dry / f"results/quality/{MODEL}/original/inf2-neuronx/quality.json").read_text())
    assert (quality["outcome"], quality["provenance"]) == ("measured", "fake")


def test_the_machine_has_the_device_and_the_page_says_what_it_is(dry: Path) -> None:
    machine = json.loads((dry / "results/machine.json").read_text())
    assert [device["name"] for device in machine["accelerators"]] == ["Neuron device 0"]
    page = (dry / "reports/optimization.html").read_text()
    assert machine["machine_id"] in page
    assert "Provenance: fake." in page
