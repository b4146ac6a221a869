"""What `inferlab doctor` finds: the same for its JSON and its text."""

from typing import Literal

from pydantic import computed_field

from inferlab.records import Frozen, MachineRecord, Precision


class Ability(Frozen):
    """Something that this machine has or can do; if not, `reason` says why and `hint` how to get it, where one can."""

    name: str
    outcome: Literal["available", "unavailable", "unsupported"]
    reason: str = ""
    hint: str = ""


class PrecisionAbility(Ability):
    """A precision on a target: `unavailable` where the target is, `unsupported` where its engine has no route to it."""

    name: Precision


class TargetAbility(Ability):
    """A target, with what its engine does as far as that is known without building anything."""

    precisions: tuple[PrecisionAbility, ...]
    versions: dict[str, str]


class TelemetryAbility(Ability):
    """A source of telemetry, and the columns of blocks.parquet that it gives."""

    columns: tuple[str, ...]

    @property
    def of_accelerators(self) -> bool:
        """Whether all that it gives is of accelerators."""
        return all(column.startswith("accelerator_") for column in self.columns)


class Condition(Frozen):
    """A circumstance of this machine that bears on measurements; a hindrance says why, and what to do about it."""

    name: str
    value: str
    outcome: Literal["good", "hindrance", "unknown"]
    reason: str = ""
    hint: str = ""


class Improvement(Frozen):
    """What would make measurements better here, and why."""

    name: str
    reason: str
    hint: str


class Findings(Frozen):
    """Everything, and the document that `inferlab doctor --json` prints."""

    schema_version: Literal[1] = 1
    machine: MachineRecord
    targets: tuple[TargetAbility, ...]
    telemetry: tuple[TelemetryAbility, ...]
    conditions: tuple[Condition, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def improvements(self) -> tuple[Improvement, ...]:
        """Of the conditions that hinder and of the telemetry that is missing, those that something can be done about.

        Telemetry of accelerators is missing only where there are any.
        """
        found: list[Condition | TelemetryAbility] = [one for one in self.conditions if one.outcome == "hindrance"]
        found += [
            one
            for one in self.telemetry
            if one.outcome != "available" and (self.machine.accelerators or not one.of_accelerators)
        ]
        return tuple(Improvement(name=one.name, reason=one.reason, hint=one.hint) for one in found if one.hint)
