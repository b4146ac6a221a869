"""plan: what a study will measure here. Its output changes only when an artifact that the study names does."""

from pathlib import Path

from inferlab.measure.plan import plan_study
from inferlab.params import Params
from inferlab.records import ArtifactRecord, Configuration


def run(params: Params, root: Path, study: str, model: str) -> None:
    """Write results/plans/<study>-<model>.json."""

    def artifact(configuration: Configuration) -> ArtifactRecord:
        folder = root / "build" / "artifacts" / model / configuration.optimization / configuration.target
        return ArtifactRecord.read(folder / "artifact.json")

    run = params.run
    plan = plan_study(params.studies[study], model, run.optimizations, run.targets, artifact, params.scenarios)
    plan.write(root / "results" / "plans" / f"{study}-{model}.json")
