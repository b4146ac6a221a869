"""Whether a block can be trusted, and what to do where it cannot."""

from typing import Annotated

from pydantic import Field

from inferlab.records import Frozen

Percent = Annotated[float, Field(gt=0, le=100)]


class Limits(Frozen):
    """Limits beyond which a block is invalid: params.yaml `validity:`."""

    schedule_lag_p99_s: Annotated[float, Field(gt=0)]
    client_cpu_percent: Percent
    machine_cpu_other_percent: Percent
    cpu_steal_percent: Percent
    little_tolerance: Annotated[float, Field(gt=0, lt=1)]


class Evidence(Frozen):
    """What a block says of itself. NaN where a quantity does not apply to it."""

    requests_ok: int
    requests_failed: int
    schedule_lag_p99_s: float
    client_cpu_percent: float
    machine_cpu_other_percent: float
    cpu_steal_percent: float
    throttle_events: int
    callers_by_little: float
    """Throughput × mean latency: by Little's law the number of requests under way."""
    callers: float
    """Requests under way as the scenario has it; NaN in an open loop."""
    accelerator_other_processes: float = 0.0
    """Processes of others with a context on the accelerators that the server is on; NaN where it is on none."""
    served_share: float
    """Requests answered in time / requests offered; NaN in a closed loop, and where overload is what is asked for."""


def why_invalid(evidence: Evidence, limits: Limits) -> tuple[str, str]:
    """(reason, advice), both empty where the block is valid."""
    if evidence.requests_ok == 0:
        return "no request was answered", "see the status column of requests.parquet"
    if evidence.requests_failed > 0:
        total = evidence.requests_ok + evidence.requests_failed
        return (
            f"{evidence.requests_failed} of {total} requests failed",
            "see the status column of requests.parquet; a longer serve.request_timeout_s helps against time-outs",
        )
    if evidence.throttle_events > 0:
        return "the machine was throttled", "cool the machine or raise the control group's CPU quota"
    if evidence.accelerator_other_processes > 0:
        return (
            f"{evidence.accelerator_other_processes:.0f} process(es) of others were on the accelerator",
            "stop what else computes there (nvidia-smi lists it), or give the server a GPU of its own",
        )
    if evidence.schedule_lag_p99_s > limits.schedule_lag_p99_s:
        return (
            f"the load client was late: p99 of its lag was {evidence.schedule_lag_p99_s * 1e3:.1f} ms",
            "give the load client a core of its own, or lower the rate",
        )
    if evidence.client_cpu_percent > limits.client_cpu_percent:
        return (
            f"the load client used {evidence.client_cpu_percent:.0f} % of its core, so it was the bottleneck",
            "use fewer callers or a slower model",
        )
    if evidence.cpu_steal_percent > limits.cpu_steal_percent:
        return (
            f"the hypervisor took {evidence.cpu_steal_percent:.0f} % of the machine",
            "use a dedicated instance, or measure at another time",
        )
    if evidence.machine_cpu_other_percent > limits.machine_cpu_other_percent:
        return (
            f"other processes used {evidence.machine_cpu_other_percent:.0f} % of the machine",
            "stop what else runs on this machine",
        )
    if evidence.callers == evidence.callers and (
        abs(evidence.callers_by_little / evidence.callers - 1) > limits.little_tolerance
    ):
        return (
            f"Little's law does not hold: throughput × latency is {evidence.callers_by_little:.2f}, "
            f"callers are {evidence.callers:.0f}",
            "longer blocks (profiles: measure.block_s)",
        )
    if evidence.served_share == evidence.served_share and evidence.served_share < 1 - limits.little_tolerance:
        return (
            f"only {evidence.served_share:.0%} of the offered rate was served: the server was saturated",
            "lower share_of_slowest of the scenario",
        )
    return "", ""
