"""What a study will measure on this machine, and why not the rest: decided before any server starts."""

from collections.abc import Callable, Mapping, Sequence

from inferlab.errors import UserError
from inferlab.files import digest_of
from inferlab.records import ArtifactRecord, Configuration, PlannedConfiguration, PlannedScenario, PlanRecord
from inferlab.studies.base import Scenario, Study


def plan_study(
    study: Study,
    model: str,
    optimizations: Sequence[str],
    targets: Sequence[str],
    artifact: Callable[[Configuration], ArtifactRecord],
    scenarios: Mapping[str, Scenario],
) -> PlanRecord:
    """Plan one study for one model.

    `optimizations` and `targets` are those that the run selects, `scenarios` all that there are. Rule 2 of measurement:
    the reference comes twice, the second time as its twin.
    """
    chosen = [name for name in study.optimizations if name in optimizations]
    covered = [name for name in targets if study.targets is None or name in study.targets]
    rows = [_planned(configuration, artifact) for configuration in study.configurations(model, chosen, covered)]
    references = [row for row in rows if row.outcome is None and study.is_reference(row.configuration)]
    reference = ""
    if references:
        reference = references[0].configuration.id
        twin = references[0].configuration.model_copy(update={"twin": True})
        rows.append(references[0].model_copy(update={"configuration": twin}))
    elif any(row.outcome is None for row in rows):
        raise UserError(
            f"study {study.name!r} cannot be measured for {model!r}: its reference, the original model, can run on "
            f"none of the selected targets ({', '.join(covered)}); add one that can to params.yaml run.targets"
        )
    return PlanRecord(
        study=study.name,
        kind=study.kind,
        model=model,
        payloads=study.mix,
        scenarios=tuple(
            PlannedScenario(name=name, row=scenarios[name].model_dump(mode="json")) for name in study.scenarios
        ),
        search_space=study.search_space,
        reference=reference,
        configurations=tuple(rows),
    )


def _planned(configuration: Configuration, artifact: Callable[[Configuration], ArtifactRecord]) -> PlannedConfiguration:
    record = artifact(configuration)
    if record.outcome != "measured":
        return PlannedConfiguration(
            configuration=configuration,
            outcome=record.outcome,
            reason=record.reason,
            hint=record.hint,
            provenance=record.provenance,
        )
    return PlannedConfiguration(
        configuration=configuration, provenance=record.provenance, artifact_digest=digest_of(record.files)
    )
