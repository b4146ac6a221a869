"""The pipeline on a machine with an Inferentia2 chip that is none: stand-ins answer, and every page says so."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from clones import runner, tiny_clone

from inferlab.stand_ins.install import fake_neuron

pytestmark = pytest.mark.timeout(900)

MODEL = "efficientnet-lite0"


def only_the_chip(params: dict[str, Any]) -> None:
    """Beside hardware, results of a stand-in would be refused."""
    params["run"].update(
        models=[MODEL, "noop"],
        optimizations=["original", "quantized"],
        targets=["inf2-neuronx"],
        studies=["serving"],
    )
    params["models"][MODEL]["image_size_px"] = 32
    params["models"][MODEL]["fit"]["picture_sizes_px"] = [32]
    params["models"][MODEL]["finetune"]["picture_sizes_px"] = [32]
    params["compile"]["batch_sizes"] = [1, 2]
    params["serve"]["max_batch_size"] = 2
    params["studies"]["serving"]["scenarios"] = ["two-callers"]


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny_clone(tmp_path_factory.mktemp("dry"), only_the_chip)
    with fake_neuron(tmp_path_factory.mktemp("device")):
        result = runner(root, "src/inferlab/stand_ins/neuron")("dvc", "repro", timeout_s=850)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return root


def test_every_path_is_measured_on_the_chip_in_turn(dry: Path) -> None:
    blocks = pd.read_parquet(dry / f"results/measurements/serving/{MODEL}/blocks.parquet")
    assert set(blocks["target"]) == {"inf2-neuronx"}
    assert set(blocks["path"]) == {"direct", "fastapi", "fastapi-plain"}
    assert blocks["twin"].any()
    assert (blocks["requests_ok"] > 0).all()
    assert set(blocks["provenance"]) == {"fake"}


def test_artifacts_and_quality_are_marked_as_what_they_are(dry: Path) -> None:
    folder = dry / f"build/artifacts/{MODEL}"
    original = json.loads((folder / "original/inf2-neuronx/artifact.json").read_text())
    assert (original["outcome"], original["provenance"]) == ("measured", "fake")
    assert [binary["batch_size"] for binary in original["binaries"]] == [1, 2]
    assert original["engagement"]["operators_on_accelerator_share"] == 1.0
    quantized = json.loads((folder / "quantized/inf2-neuronx/artifact.json").read_text())
    assert (quantized["outcome"], quantized["files"]) == ("unsupported", {})
    quality = json.loads((dry / f"results/quality/{MODEL}/original/inf2-neuronx/quality.json").read_text())
    assert (quality["outcome"], quality["provenance"]) == ("measured", "fake")


def test_the_machine_has_the_device_and_every_page_says_what_it_is(dry: Path) -> None:
    machine = json.loads((dry / "results/machine.json").read_text())
    assert [device["name"] for device in machine["accelerators"]] == ["Neuron device 0"]
    pages = [path for path in sorted((dry / "reports").glob("*.html")) if machine["machine_id"] in path.read_text()]
    assert {"index", "latency"} <= {path.stem for path in pages}
    for page in pages:
        assert "Provenance: fake." in page.read_text(), page
