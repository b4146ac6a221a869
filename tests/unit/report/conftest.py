"""Tables of two synthetic machines, written once, and the report that reads them."""

from pathlib import Path

import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.tables import write_tables
from inferlab.report.source import Report, open_report


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository's root with tables of machine-a (this run) and machine-b."""
    root = tmp_path_factory.mktemp("repository")
    machines = root / "results" / "machines"
    plain = "minilm/original/cpu-eager/fastapi-plain/none"
    studies = ("serving", "optimization", "caching", "scalability", "breakdown", "cold-start", "tuning")
    this = Synthetic(models=("minilm", "noop"), studies=studies, rounds=4, requests=30, samples=60, invalid=(plain,))
    write_results(machines, this)
    write_results(machines, Synthetic(machine_id="machine-b", studies=("optimization",), rounds=3, samples=60))
    write_tables(root / "results", STUDY_SCENARIOS, ["common-rate"], 0.95, ("machine-a", "environment-a", "full"))
    return root


@pytest.fixture(scope="session")
def report(root: Path) -> Report:
    return open_report(str(root), "full", "", 0.95)
