"""`inferlab doctor`: what this machine can measure, and what would make its measurements better."""

import json
from pathlib import Path

from rich.console import Console

from inferlab.doctor.abilities import target_abilities, telemetry_abilities
from inferlab.doctor.findings import Findings
from inferlab.doctor.kernel import kernel_conditions
from inferlab.doctor.process import compiler, machine_use, parameters, pinning, quiet, threads
from inferlab.doctor.text import print_findings, print_self_test
from inferlab.stages.probe import machine_here


def run(root: Path, *, as_json: bool) -> None:
    """Print what is found here; `root` is the repository's folder."""
    found = examine(root)
    if as_json:
        print(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        print_findings(found, _console())


def examine(root: Path) -> Findings:
    """Look at this machine, its load included. What is missing is a finding and no error."""
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


def run_self_test(target: str, *, as_json: bool) -> bool:
    """Print the dry run of a target, with its watermark; whether all of it passed.

    Raises UnknownNameError for a target that there is not, UserError for one without stand-ins.
    """
    from inferlab.doctor.self_test import self_test  # it needs torch

    found = self_test(target)
    if as_json:
        print(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        print_self_test(found, _console())
    return found.passed


def _console() -> Console:
    # Reasons and hints have brackets, which rich would take for markup.
    return Console(markup=False, highlight=False, emoji=False)
