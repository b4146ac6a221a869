"""serve-and-measure: every configuration of a study served and loaded in interleaved rounds."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import inferlab
from inferlab.files import digest_of, file_digest
from inferlab.load.process import LoadProcess
from inferlab.measure.candidates import Space
from inferlab.measure.cold_start import starting
from inferlab.measure.host import serve_all
from inferlab.measure.journal import Journal
from inferlab.measure.payloads import payloads
from inferlab.measure.settings import Settings
from inferlab.measure.starts import measure_starts
from inferlab.measure.study import measure_study
from inferlab.measure.tuning import measure_tuning, trials_left
from inferlab.params import Params
from inferlab.progress import progress
from inferlab.records import MachineRecord, PlannedConfiguration, PlanRecord, PreparedRecord
from inferlab.studies.base import RateSearch, are_starts, scenarios_of
from inferlab.targets.base import TARGETS


def run(params: Params, root: Path, study: str, model: str) -> None:
    """Write results/measurements/<study>/<model>/, going on from the rounds that the journal has."""
    machine = MachineRecord.read(root / "results" / "machine.json")
    plan = PlanRecord.read(root / "results" / "plans" / f"{study}-{model}.json")
    out = root / "results" / "measurements" / study / model
    planned = [row for row in plan.configurations if row.outcome is None]
    measure = params.profile.measure
    settings = Settings(
        study=study,
        machine_id=machine.machine_id,
        environment_id=machine.environment_id,
        profile=params.run.profile,
        seed=params.run.seed,
        **measure.model_dump(),
        timeout_s=params.serve.request_timeout_s,
        cores_granted=len(machine.core_plan.server),
        limits=params.validity,
        mix=plan.payloads,
        capacity_callers=2 * params.serve.max_batch_size,
    )
    scenarios = scenarios_of(plan)
    prepared = root / "build" / "prepared" / model
    payload_files = PreparedRecord.read(prepared / "prepared.json").files
    inputs = [_code(), settings, plan.model_dump(), params.serve, machine.model_dump(), params.models[model]]
    inputs.append(payload_files)
    journal = Journal(root, f"{study}-{model}", digest_of(inputs))
    if not planned:
        journal.deliver_nothing(out)
        return
    samples = payloads(params.models[model], prepared, params.run.seed, plan.payloads)
    spaces = _spaces(plan, planned, params, settings.cores_granted)
    trials = plan.search_space.trials if plan.search_space else 0
    steps = len(planned) * (1 + len(scenarios) * (settings.most_rounds - len(journal.finished_rounds())))
    steps += trials_left(spaces, trials, journal)
    with LoadProcess(machine.core_plan.load) as load, progress(steps, f"{study} {model}") as advance:
        serving: dict[str, Any] = {
            "model": params.models[model],
            "artifacts": root / "build" / "artifacts" / model,
            "samples": samples,
            "load": load,
            "cores": machine.core_plan.server,
            "max_batch_size": params.serve.max_batch_size,
        }
        if are_starts(scenarios.values()):
            measure_starts(planned, list(scenarios), settings, partial(starting, **serving), journal, advance)
        elif spaces:
            ((name, search),) = scenarios.items()
            assert isinstance(search, RateSearch), "params.py allows a study of tuning nothing else"
            serve = partial(serve_all, **serving)
            measure_tuning(planned, (name, search), trials, spaces, settings, serve, load.check, journal, advance)
        else:
            measure_study(planned, scenarios, settings, partial(serve_all, **serving), journal, advance)
    journal.deliver(out)


def _spaces(plan: PlanRecord, planned: Sequence[PlannedConfiguration], params: Params, cores: int) -> dict[str, Space]:
    """What may be tried for each tuned configuration, by id."""
    if plan.search_space is None:
        return {}
    return {
        row.configuration.id: Space.here(
            plan.search_space,
            cores,
            params.serve.max_batch_size,
            TARGETS.get(row.configuration.target)().replicas_at_most(),
        )
        for row in planned
        if row.configuration.tuned
    }


def _code() -> dict[str, str]:
    """Checksums of what measures: rounds that other code measured are not mixed in."""
    package = Path(inferlab.__file__).parent
    folders = [package / name for name in ("load", "measure", "models", "serve", "targets")]
    files = [
        package / "child.py",
        package / "columns.py",
        package / "data" / "base.py",
        package / "files.py",
        package / "processes.py",
        package / "records.py",
        package / "stages" / "serve_and_measure.py",
        package / "studies" / "base.py",
        *(path for folder in folders for path in folder.rglob("*.py")),
    ]
    return {str(path.relative_to(package)): file_digest(path) for path in files}
