"""Stage collect: what this run selects goes to results/machines/, which no stage owns, and to MLflow.

What a study measured stays there when it is selected no more, as long as it is about the artifacts of this run, so that
studies can be measured one at a time.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from inferlab.columns import BLOCK_COLUMNS
from inferlab.errors import InferlabError
from inferlab.files import digest_of, digests_of_folder, file_digest, whole_file
from inferlab.params import Params
from inferlab.records import ArtifactRecord, MachineRecord, PlannedConfiguration, PlanRecord
from inferlab.tracking import sync_runs


def run(params: Params, root: Path) -> None:
    """Copy, forget what this run has no use for, write results/collected.json, and log what MLflow does not have yet.

    As in the tables, only the sets of the selected profile go to MLflow.
    A selected file that was not made yet leaves the collected one in place. Does nothing where nothing is new.
    """
    machine = MachineRecord.read(root / "results" / "machine.json")
    machines = root / "results" / "machines"
    folder = machines / machine.machine_id / machine.environment_id / params.run.profile
    selected = {folder / name: root / source for name, source in selection(params)}
    for destination, source in selected.items():
        if source.is_file() and not (destination.is_file() and file_digest(destination) == file_digest(source)):
            with whole_file(destination) as part:
                shutil.copyfile(source, part)
    kept = {*selected, *(folder / name for name in _of_other_studies(params, folder))}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path not in kept:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    digests = list_collected(root)
    scenarios = {name: study.scenarios for name, study in params.studies.items()}
    open_loop = [name for name, scenario in params.scenarios.items() if scenario.loop == "open"]
    shown = {name: files for name, files in digests.items() if name.endswith(f"/{params.run.profile}")}
    sync_runs(root, shown, scenarios, open_loop, params.analysis.confidence)


def list_collected(root: Path) -> dict[str, dict[str, str]]:
    """Write the checksums of everything under results/machines/ to results/collected.json, and return them by set."""
    machines = root / "results" / "machines"
    digests = {
        path.parent.relative_to(machines).as_posix(): digests_of_folder(path.parent)
        for path in sorted(machines.glob("*/*/*/machine.json"))
    }
    collected = root / "results" / "collected.json"
    text = json.dumps(digests, indent=1, sort_keys=True) + "\n"
    if not collected.is_file() or collected.read_text(encoding="utf-8") != text:
        with whole_file(collected) as part:
            part.write_text(text, encoding="utf-8")
    return digests


def selection(params: Params) -> Iterator[tuple[str, str]]:
    """Name inside the collected folder, and path from the root, of each file that `run:` selects."""
    yield "machine.json", "results/machine.json"
    for model in params.run.models:
        for optimization in params.run.optimizations:
            optimized = f"build/optimized/{model}/{optimization}/optimization.json"
            yield f"optimizations/{model}-{optimization}.json", optimized
            for target in params.run.targets:
                cell = f"{model}/{optimization}/{target}"
                yield f"artifacts/{cell}/artifact.json", f"build/artifacts/{cell}/artifact.json"
                for name in ("quality.json", "predictions.parquet"):
                    yield f"quality/{cell}/{name}", f"results/quality/{cell}/{name}"
    for study in params.run.studies:
        for model in params.run.models:
            for name in _files_of(study, model):
                yield name, f"results/{name}"


def _files_of(study: str, model: str) -> tuple[str, str, str, str]:
    place = f"measurements/{study}/{model}"
    names = ("requests", "blocks", "trials")
    requests, blocks, trials = (f"{place}/{name}.parquet" for name in names)
    return f"plans/{study}-{model}.json", requests, blocks, trials


def _of_other_studies(params: Params, folder: Path) -> Iterator[str]:
    """The files of studies that are not selected, where all that they measured is what this run built."""
    for study in params.studies:
        for model in params.run.models:
            plan, requests, blocks, trials = _files_of(study, model)
            if study not in params.run.studies and _still_holds(params, folder, folder / plan, folder / blocks):
                yield from (plan, requests, blocks, trials)


def _still_holds(params: Params, folder: Path, plan: Path, blocks: Path) -> bool:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        rows = PlanRecord.read(plan).configurations
        columns = set(read_schema(blocks).names)
        return set(BLOCK_COLUMNS) <= columns and all(_is_built(params, folder, row) for row in rows)
    except (InferlabError, OSError, ArrowException):  # not there, damaged, or of another version
        return False


def _is_built(params: Params, folder: Path, planned: PlannedConfiguration) -> bool:
    row = planned.configuration
    if row.optimization not in params.run.optimizations or row.target not in params.run.targets:
        return False
    if planned.outcome is not None:
        return True
    artifact = folder / "artifacts" / row.model / row.optimization / row.target / "artifact.json"
    return digest_of(ArtifactRecord.read(artifact).files) == planned.artifact_digest
