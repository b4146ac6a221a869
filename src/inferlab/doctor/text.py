"""What the doctor finds as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, get_args

from rich import box
from rich.console import Console
from rich.table import Table

from inferlab.doctor.findings import Ability, Findings, TargetAbility
from inferlab.records import MachineRecord, Precision

if TYPE_CHECKING:
    from inferlab.doctor.self_test import SelfTest

SHORT = {"available": "yes", "unavailable": "not here", "unsupported": "no"}


def print_findings(found: Findings, console: Console) -> None:
    """Targets first, since they are what is asked for most; what to do comes last, where a terminal shows it."""
    console.print(_machine(found.machine))
    console.print(_targets(found.targets))
    _section(console, "Why not, and how to get it", ("", "why", "how to get it"), _reasons(found.targets))
    _section(
        console,
        "Telemetry",
        ("source", "here", "columns, or why not and how to get them"),
        [
            (one.name, SHORT[one.outcome], ", ".join(one.columns) if one.outcome == "available" else _why(one))
            for one in found.telemetry
        ],
    )
    _section(
        console,
        "This machine",
        ("condition", "value", "verdict", "why"),
        [(one.name, one.value, one.outcome, one.reason) for one in found.conditions],
    )
    _section(
        console, "Versions", ("package", "version"), [("Python", found.machine.python), *found.machine.packages.items()]
    )
    _section(
        console,
        "What would make measurements better here",
        ("", "what to do", "why"),
        [(one.name, one.hint, one.reason) for one in found.improvements],
    )
    if not found.improvements:
        console.print("Nothing that we know of would make measurements better here.")


def print_self_test(found: SelfTest, console: Console) -> None:
    """The watermark stands above, below and, as the provenance, in every line."""
    console.print(found.watermark)
    rows = [(found.provenance, step.name, step.outcome, step.found) for step in found.steps]
    _section(console, f"Self-test of {found.target}", ("provenance", "step", "outcome", "found"), rows)
    console.print(found.watermark)


def _machine(machine: MachineRecord) -> str:
    cores = f"{machine.logical_cores} CPUs on {machine.physical_cores} physical cores"
    accelerators = ", ".join(one.name for one in machine.accelerators) or "no accelerator"
    return f"{machine.cpu_model}; {cores}, {machine.memory_gib} GiB, {accelerators}\n{machine.machine_id}\n"


def _targets(targets: Sequence[TargetAbility]) -> Table:
    precisions = get_args(Precision)
    table = _table("Targets", ("target", *precisions))
    table.columns[0].no_wrap = True  # people copy these names; in 80 columns precisions are folded
    for target in targets:
        outcomes = {one.name: SHORT[one.outcome] for one in target.precisions}
        table.add_row(target.name, *(outcomes[precision] for precision in precisions))
    return table


def _reasons(targets: Sequence[TargetAbility]) -> list[tuple[str, str, str]]:
    """One line for a target that is not here, and one for each reason for which precisions are unsupported."""
    lines = []
    for target in targets:
        if target.outcome != "available":
            lines.append((target.name, target.reason, target.hint))
        refused: dict[str, list[tuple[str, str]]] = {}
        for one in target.precisions:
            if one.outcome == "unsupported":
                refused.setdefault(one.reason, []).append((one.name, one.hint))
        for reason, precisions in refused.items():
            names = ", ".join(name for name, _ in precisions)
            hints = "; ".join(hint for _, hint in precisions if hint)
            lines.append((f"{target.name} {names}", reason, hints))
    return lines


def _why(one: Ability) -> str:
    return f"{one.reason} (how to get it: {one.hint})" if one.hint else one.reason


def _section(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = _table(title, columns)
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        console.print(table)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
