"""One set of synthetic results with its rows, made once."""

from pathlib import Path

import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.results import ResultSet, load_results
from inferlab.analyze.rows import Row, rows_of

INVALID = "minilm/original/cpu-eager/fastapi-plain/none"


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> ResultSet:
    machines: Path = tmp_path_factory.mktemp("results") / "machines"
    write_results(machines, Synthetic(invalid=(INVALID,)))
    return load_results(machines)[0]


@pytest.fixture(scope="session")
def rows(results: ResultSet) -> list[Row]:
    return rows_of(results, STUDY_SCENARIOS, ["common-rate"])
