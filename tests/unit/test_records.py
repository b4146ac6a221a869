from pathlib import Path

import pytest
from pydantic import ValidationError

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.errors import ArtifactError
from inferlab.records import ArtifactRecord, Configuration, QualityRecord

CONFIGURATION = Configuration(model="m", optimization="original", target="t", path="fastapi", batching="none")


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        QualityRecord(model="m", optimization="o", target="t", outcome="measured", value=0.5).write(tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert QualityRecord.read(tmp_path / "a.json").value == 0.5


def test_a_record_of_another_version_says_which_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "artifact.json"
    path.write_text('{"schema_version": 2}')
    with pytest.raises(
        ArtifactError, match=r"artifact\.json has schema_version 2; this inferlab reads 1: use the version"
    ):
        ArtifactRecord.read(path)


@pytest.mark.parametrize("content", ["{", '{"schema_version": 1}', '{"model": "m", "surprise": 1}'])
def test_a_file_that_holds_no_such_record_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "artifact.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"artifact\.json does not hold a ArtifactRecord"):
        ArtifactRecord.read(path)


def test_a_missing_record_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is missing; run the stage"):
        ArtifactRecord.read(tmp_path / "artifact.json")


def test_the_twin_has_a_name_of_its_own() -> None:
    twin = CONFIGURATION.model_copy(update={"twin": True})
    assert CONFIGURATION.id == "m/original/t/fastapi/none"
    assert twin.id == "m/original/t/fastapi/none/twin"


def test_the_tuned_one_and_a_twin_of_it_have_names_of_their_own() -> None:
    tuned = CONFIGURATION.model_copy(update={"tuned": True})
    assert tuned.id == "m/original/t/fastapi/none/tuned"
    assert tuned.model_copy(update={"twin": True}).id == f"{tuned.id}/twin"
    assert tuned.without_twin == tuned


def test_only_the_ordinary_handler_has_variants_and_its_name_says_which() -> None:
    names = {"model": "m", "optimization": "original", "target": "t", "batching": "none"}
    variant = Configuration.model_validate({**names, "path": "fastapi-plain", "handler": "no-encoder"})
    assert variant.id == "m/original/t/fastapi-plain/none/no-encoder"
    assert variant.model_copy(update={"twin": True}).id == f"{variant.id}/twin"
    for path in ("direct", "fastapi"):
        with pytest.raises(ValidationError, match=f"handler is 'binary'; the path {path} has no variants"):
            Configuration.model_validate({**names, "path": path, "handler": "binary"})
    with pytest.raises(ValidationError, match="'no-validation'"):
        Configuration.model_validate({**names, "path": "fastapi-plain", "handler": "fast"})


def test_columns_name_their_units() -> None:
    times = [name for name in {**BLOCK_COLUMNS, **REQUEST_COLUMNS} if "latency" in name or "duration" in name]
    assert times
    assert all(name.endswith("_s") for name in times)
