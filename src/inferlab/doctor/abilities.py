"""Which targets and telemetry sources are here; those that are not say why, and how to get them."""

from collections.abc import Mapping, Sequence
from typing import get_args

from inferlab.doctor.findings import PrecisionAbility, TargetAbility, TelemetryAbility
from inferlab.measure.telemetry.base import TELEMETRY
from inferlab.records import Precision
from inferlab.targets.base import TARGETS, Availability, Target, installed_version


def target_abilities() -> tuple[TargetAbility, ...]:
    """Every registered target, by name. Imports no engine."""
    targets = [TARGETS.get(name)() for name in TARGETS]
    here = {target.name: target.probe() for target in targets}
    return tuple(_target(target, here, targets) for target in targets)


def telemetry_abilities(cores: Sequence[int]) -> tuple[TelemetryAbility, ...]:
    """Every registered source, started and stopped again; the programs that it runs are pinned to `cores`."""
    return tuple(_telemetry(name, cores) for name in TELEMETRY)


def _target(target: Target, here: Mapping[str, Availability], targets: Sequence[Target]) -> TargetAbility:
    own = here[target.name]
    precisions = []
    for precision in get_args(Precision):
        refusal = target.refusal(precision)
        if refusal is not None:
            others = _others(precision, here, targets)
            found = PrecisionAbility(name=precision, outcome="unsupported", reason=refusal, hint=others)
        elif not own.available:
            found = PrecisionAbility(name=precision, outcome="unavailable", reason=own.reason, hint=own.hint)
        else:
            found = PrecisionAbility(name=precision, outcome="available")
        precisions.append(found)
    ahead = "" if own.available else target.compiles_ahead()
    return TargetAbility(
        name=target.name,
        outcome="available" if own.available else "unavailable",
        reason=own.reason,
        hint=f"{own.hint}; compiled here already: {ahead}" if ahead else own.hint,
        precisions=tuple(precisions),
        versions={owner: installed_version(owner) for owner in target.engine.values()},
    )


def _others(precision: Precision, here: Mapping[str, Availability], targets: Sequence[Target]) -> str:
    """Where else this precision is to be had: on targets that are here, else on those that are not."""
    able = [target.name for target in targets if target.refusal(precision) is None]
    present = [name for name in able if here[name].available]
    if present:
        return f"{precision} runs here on {', '.join(present)}"
    return f"{precision} runs on {', '.join(able)}, not available here" if able else ""


def _telemetry(name: str, cores: Sequence[int]) -> TelemetryAbility:
    source = TELEMETRY.get(name)()
    try:
        absent = source.start(cores)
    finally:
        source.stop()
    if absent is None:
        return TelemetryAbility(name=name, outcome="available", columns=source.columns)
    return TelemetryAbility(
        name=name, outcome="unavailable", reason=absent.reason, hint=absent.hint, columns=source.columns
    )
