"""`inferlab doctor`: what this machine can measure, and what would make its measurements better."""

import json
from pathlib import Path

from rich.console import Console

from inferlab.doctor.abilities import target_abilities, telemetry_abilities
from inferlab.doctor.findings import Findings
from inferlab.doctor.kernel import kernel_conditions
from inferlab.doctor.process import compiler, machine_use, parameters, pinning, quiet, threads
from inferlab.doctor.text import print_findings
from inferlab.stages.probe import machine_here


def run(root: Path, *, as_json: bool) -> None:
    """Print what is found here; `root` is the repository's folder."""
    found = examine(root)
    if as_json:
        print(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        print_findings(found, Console(markup=False, highlight=False, emoji=False))


def examine(root: Path) -> Findings:
    """Look at this machine for about a second. What is missing is a finding and no error."""
    machine = machine_here()
    plan = machine.core_plan
    params, limits = parameters(root)
    return Findings(
        machine=machine,
        targets=target_abilities(),
        telemetry=telemetry_abilities(plan.load),
        conditions=(
            threads(plan),
            pinning(),
            *kernel_conditions((*plan.load, *plan.server)),
            compiler(),
            params,
            *quiet(*machine_use(), limits),
        ),
    )
