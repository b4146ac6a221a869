"""What this process may do and has at hand: cores, pinning, a compiler, a quiet machine, valid parameters."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from inferlab.doctor.findings import Condition
from inferlab.errors import InferlabError
from inferlab.measure.telemetry.cpu import machine_cpu
from inferlab.measure.validity import Limits
from inferlab.params import load_params
from inferlab.processes import ranges_of
from inferlab.records import CorePlan

SAMPLE_S = 0.5
COMPILER_TIMEOUT_S = 20.0


def threads(plan: CorePlan) -> Condition:
    """How many threads a session gets here, and where it and the load run."""
    count = len(plan.server)
    value = f"{count} a session (CPU {ranges_of(plan.server)}); the load client on CPU {ranges_of(plan.load)}"
    if plan.isolated:
        return Condition(name="threads", value=value, outcome="good")
    hint = "two physical cores or more"
    return Condition(name="threads", value=value, outcome="hindrance", reason=plan.note, hint=hint)


def pinning() -> Condition:
    """Whether a thread may be pinned, which is tried on this one."""
    allowed = sorted(os.sched_getaffinity(0))
    where = f"CPU {ranges_of(allowed)} of {os.cpu_count()}"
    try:
        os.sched_setaffinity(0, allowed[:1])
        os.sched_setaffinity(0, allowed)
    except OSError as error:
        reason = f"sched_setaffinity(2) fails here, and no server starts without it: {error.strerror}"
        hint = "a container or sandbox that allows sched_setaffinity(2)"
        return Condition(name="pinning", value=f"refused; {where}", outcome="hindrance", reason=reason, hint=hint)
    return Condition(name="pinning", value=f"works; {where}", outcome="good")


def compiler() -> Condition:
    """The C++ compiler that Inductor takes: CXX, else g++ (torch/_inductor/config.py)."""
    wanted = os.environ.get("CXX") or "g++"
    program = shutil.which(wanted)
    if program is None:
        reason = f"{wanted} is not on PATH; targets that go through Inductor compile C++"
        hint = "install g++ (apt-get install g++), or name another compiler in CXX"
        return Condition(name="compiler", value="none", outcome="hindrance", reason=reason, hint=hint)
    try:
        told = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=COMPILER_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason, hint = f"{program} does not tell its version: {error}", "name another compiler in CXX"
        return Condition(name="compiler", value=program, outcome="hindrance", reason=reason, hint=hint)
    return Condition(name="compiler", value=(told.stdout.splitlines() or [program])[0], outcome="good")


def parameters(root: Path) -> tuple[Condition, Limits | None]:
    """Whether params.yaml is valid, and the limits of valid blocks that it sets."""
    try:
        limits = load_params(root / "params.yaml").validity
    except InferlabError as error:
        hint = "run from the repository's root, and mend params.yaml"
        found = Condition(name="params.yaml", value="not valid", outcome="hindrance", reason=str(error), hint=hint)
        return found, None
    return Condition(name="params.yaml", value="valid", outcome="good"), limits


def machine_use(sample_s: float = SAMPLE_S) -> tuple[float, float]:
    """Percent of the machine's CPU time that other processes use, and that the hypervisor takes, over `sample_s`."""
    before, own_s, begin_s = machine_cpu(), time.process_time(), time.monotonic()
    time.sleep(sample_s)
    after = machine_cpu()
    available_s = (time.monotonic() - begin_s) * after.cores
    others_s = max(0.0, after.busy_s - before.busy_s - (time.process_time() - own_s))
    return 100 * others_s / available_s, 100 * (after.steal_s - before.steal_s) / available_s


def quiet(other_percent: float, steal_percent: float, limits: Limits | None) -> tuple[Condition, Condition]:
    """Whether blocks that were measured now would be invalid for what else goes on."""
    others_limit = limits.machine_cpu_other_percent if limits else None
    steal_limit = limits.cpu_steal_percent if limits else None
    return (
        _within("other processes", other_percent, others_limit, "stop what else runs on this machine"),
        _within("steal", steal_percent, steal_limit, "a dedicated instance, or another time of day"),
    )


def _within(name: str, percent: float, limit_percent: float | None, hint: str) -> Condition:
    value = f"{percent:.1f} % of the machine now"
    if limit_percent is None:
        reason = "params.yaml, which sets the limit, cannot be read"
        return Condition(name=name, value=value, outcome="unknown", reason=reason)
    if percent <= limit_percent:
        return Condition(name=name, value=value, outcome="good")
    reason = f"a block is invalid above {limit_percent:g} % (params.yaml validity)"
    return Condition(name=name, value=value, outcome="hindrance", reason=reason, hint=hint)
