"""What determines a journal's rounds."""

from pathlib import Path

import yaml

from inferlab.stages.serve_and_measure import _code

REPOSITORY = Path(__file__).parents[3]


def test_the_journal_is_of_all_code_that_the_stage_depends_on() -> None:
    """Else rounds of before a change, which has DVC run the stage again, would be mixed with those of after it."""
    pipeline = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    deps = pipeline["stages"]["serve-and-measure"]["deps"]
    package = REPOSITORY / "src" / "inferlab"
    paths = [REPOSITORY / name for name in deps if name.startswith("src/inferlab/")]
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    assert len(files) > len(paths) > 5
    assert set(_code()) == {str(file.relative_to(package)) for file in files}
