"""Stage analyze: results/machines/ to tables, comparisons and headline metrics."""

from pathlib import Path

from inferlab.params import Params
from inferlab.records import MachineRecord


def run(params: Params, root: Path) -> None:
    """Write results/tables/*.csv, results/comparisons.csv, results/metrics.json and results/plots/*.csv.

    The run that results/machine.json and `run.profile` name stands first; without that file no run does.
    """
    from inferlab.analyze.tables import write_tables

    results = root / "results"
    this = None
    if (results / "machine.json").is_file():
        machine = MachineRecord.read(results / "machine.json")
        this = (machine.machine_id, machine.environment_id, params.run.profile)
    write_tables(
        results,
        scenarios={name: study.scenarios for name, study in params.studies.items()},
        open_loop=[name for name, scenario in params.scenarios.items() if scenario.loop == "open"],
        confidence=params.analysis.confidence,
        this=this,
    )
