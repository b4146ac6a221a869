"""Stage collect: what this run selects goes to results/machines/, which no stage owns, and to MLflow."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from inferlab.params import Params
from inferlab.records import MachineRecord, digests_of_folder, file_digest, whole_file
from inferlab.tracking import sync_runs


def run(params: Params, root: Path) -> None:
    """Copy, forget what is no longer selected, write results/collected.json, and log what MLflow does not have yet.

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
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path not in selected:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    digests = {
        path.parent.relative_to(machines).as_posix(): digests_of_folder(path.parent)
        for path in sorted(machines.glob("*/*/*/machine.json"))
    }
    collected = root / "results" / "collected.json"
    text = json.dumps(digests, indent=1, sort_keys=True) + "\n"
    if not collected.is_file() or collected.read_text(encoding="utf-8") != text:
        with whole_file(collected) as part:
            part.write_text(text, encoding="utf-8")
    scenarios = {name: study.scenarios for name, study in params.studies.items()}
    open_loop = [name for name, scenario in params.scenarios.items() if scenario.kind == "open"]
    shown = {name: files for name, files in digests.items() if name.endswith(f"/{params.run.profile}")}
    sync_runs(root, shown, scenarios, open_loop, params.analysis.confidence)


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
            yield f"plans/{study}-{model}.json", f"results/plans/{study}-{model}.json"
            for name in ("requests.parquet", "blocks.parquet"):
                cell = f"measurements/{study}/{model}/{name}"
                yield cell, f"results/{cell}"
