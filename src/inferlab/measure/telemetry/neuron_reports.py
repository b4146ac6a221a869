"""What neuron-monitor reports, and a block's quantities from it.

Format: AWS Neuron SDK, neuron-monitor user guide. Absent and null fields are as good as empty ones: a group that could
not be read has an `error` and little else.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from inferlab.measure.telemetry.base import Absent, Reading

MIB = 2**20
UTILIZATION, MEMORY, LATENCY = "accelerator_utilization_percent", "accelerator_memory_mib", "accelerator_latency_p50_s"
CORES = "accelerator_cores_used"
"""Of the cores that the server was given; the study notes these beside it."""
COLUMNS = (UTILIZATION, MEMORY, LATENCY, CORES)

NOT_USED = Absent(
    "neuron-monitor lists no process of this server",
    "a target on Neuron; in a container share the host's process ids (docker run --pid=host)",
)
NOT_TOLD = Absent("neuron-monitor did not tell it of this server: nothing ran on the device")

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, BeforeValidator(lambda value: value or "")]


class _Part(BaseModel):
    """Lenient, since tools of later releases report more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Group(_Part):
    period: Amount = 0.0
    """Seconds that the group covers, until the report was written."""
    error: Text = ""


class CoreUse(_Part):
    """One NeuronCore."""

    neuroncore_utilization: Amount


class Counters(_Group):
    """`neuroncore_counters`: only cores that were active in the period are listed."""

    neuroncores_in_use: dict[str, CoreUse] | None = None


class Percentiles(_Part):
    """Of a latency, in seconds."""

    p50: Amount


class Latencies(_Part):
    """`device_latency` is null where nothing ran."""

    device_latency: Percentiles | None = None


class Counts(_Part):
    """Executions in the period."""

    completed: Annotated[int, Field(ge=0)] = 0


class Executions(_Group):
    """`execution_stats`."""

    execution_summary: Counts | None = None
    latency_stats: Latencies | None = None


class UsedBytes(_Part):
    """Memory in bytes."""

    neuron_device: Annotated[int, Field(ge=0)]


class MemoryUsed(_Group):
    """`memory_used`."""

    neuron_runtime_used_bytes: UsedBytes | None = None


class Groups(_Part):
    """The groups that our configuration asks for."""

    neuroncore_counters: Counters | None = None
    execution_stats: Executions | None = None
    memory_used: MemoryUsed | None = None


class Runtime(_Part):
    """One process that uses Neuron devices."""

    pid: int
    error: Text = ""
    report: Groups | None = None

    @property
    def groups(self) -> Groups:
        """Empty ones where the report has none."""
        return self.report or Groups()


class Hardware(_Part):
    """`neuron_hardware_info`."""

    error: Text = ""


class Report(_Part):
    """One JSON document of neuron-monitor."""

    neuron_runtime_data: list[Runtime] | None = None
    neuron_hardware_info: Hardware | None = None

    def of(self, pids: Collection[int]) -> list[Runtime]:
        """The runtimes of these processes."""
        return [runtime for runtime in self.neuron_runtime_data or () if runtime.pid in pids]

    @property
    def period_s(self) -> float:
        """The longest time that a group of the report covers."""
        groups = [runtime.groups for runtime in self.neuron_runtime_data or ()]
        parts = [part for each in groups for part in (each.neuroncore_counters, each.execution_stats) if part]
        return max((part.period for part in parts), default=0.0)

    def errors(self, pids: Collection[int]) -> list[str]:
        """What the report says went wrong with the device, or with what it knows of these processes."""
        found = [self.neuron_hardware_info.error] if self.neuron_hardware_info else []
        for runtime in self.of(pids):
            groups = (runtime.groups.neuroncore_counters, runtime.groups.execution_stats, runtime.groups.memory_used)
            found += [runtime.error, *(group.error for group in groups if group)]
        return [error for error in found if error]


def parse_report(line: bytes) -> Report:
    """One line of neuron-monitor's output. Raises ValueError where it is no whole report."""
    return Report.model_validate_json(line)


def quantities(reports: Sequence[Report], pids: Collection[int]) -> Reading:
    """What the processes `pids` used, over reports that lie inside a block.

    Utilization: mean over the reports, by their periods, and over the cores that any of them lists, of percent busy.
    Memory: the largest sum over the processes, in MiB. Device latency: the reports' medians in seconds, each counted as
    often as it has executions; medians of parts do not give that of the whole. Cores: all that any report lists. Where
    the reports do not tell a quantity, the reason is an error that they tell of, if they do.
    """
    own = [report.of(pids) for report in reports]
    errors = list(dict.fromkeys(error for report in reports for error in report.errors(pids)))
    absent = NOT_TOLD if any(own) else NOT_USED
    if errors:
        absent = Absent(f"neuron-monitor reports: {'; '.join(errors)}")
    found = {
        UTILIZATION: _utilization_percent(own),
        MEMORY: _memory_mib(own),
        LATENCY: _latency_s([runtime for runtimes in own for runtime in runtimes]),
        CORES: _cores([runtime for runtimes in own for runtime in runtimes]),
    }
    return {name: absent if value is None else value for name, value in found.items()}


Part = TypeVar("Part", bound=_Group)


def _sound(runtimes: Sequence[Runtime], part: Callable[[Groups], Part | None]) -> list[Part]:
    """One group of those runtimes that report it without an error."""
    groups = [part(runtime.groups) for runtime in runtimes if not runtime.error]
    return [group for group in groups if group is not None and not group.error]


def _utilization_percent(reports: Sequence[Sequence[Runtime]]) -> float | None:
    busy_s, observed_s, cores = 0.0, 0.0, set[str]()
    for runtimes in reports:
        counters = [each for each in _sound(runtimes, lambda groups: groups.neuroncore_counters) if each.period > 0]
        for each in counters:
            in_use = each.neuroncores_in_use or {}
            cores |= set(in_use)
            busy_s += each.period * sum(core.neuroncore_utilization for core in in_use.values())
        observed_s += max((each.period for each in counters), default=0.0)
    if not observed_s:
        return None
    return busy_s / (observed_s * len(cores)) if cores else 0.0


def _cores(runtimes: Sequence[Runtime]) -> float | None:
    counters = _sound(runtimes, lambda groups: groups.neuroncore_counters)
    cores = {core for each in counters for core in each.neuroncores_in_use or {}}
    return float(len(cores)) if counters else None


def _memory_mib(reports: Sequence[Sequence[Runtime]]) -> float | None:
    sums = []
    for runtimes in reports:
        groups = _sound(runtimes, lambda groups: groups.memory_used)
        used = [group.neuron_runtime_used_bytes for group in groups if group.neuron_runtime_used_bytes]
        sums += [sum(each.neuron_device for each in used)] if used else []
    return max(sums) / MIB if sums else None


def _latency_s(runtimes: Sequence[Runtime]) -> float | None:
    weighted_s, executions = 0.0, 0
    for group in _sound(runtimes, lambda groups: groups.execution_stats):
        latency = group.latency_stats.device_latency if group.latency_stats else None
        completed = group.execution_summary.completed if group.execution_summary else 0
        if latency is not None:
            weighted_s += latency.p50 * completed
            executions += completed
    return weighted_s / executions if executions else None
