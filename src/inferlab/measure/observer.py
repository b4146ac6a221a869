"""What a server and the machine did during the measured part of a block."""

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from inferlab.load.block import Phase
from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource
from inferlab.measure.telemetry.cpu import TICKS_PER_S, machine_cpu, tree_cpu_s
from inferlab.records import Provenance


@dataclass(frozen=True)
class Account:
    """Values by column of blocks.parquet; `absent` says why a column that a source could give has none."""

    values: dict[str, float]
    absent: dict[str, str]
    provenance: Provenance
    """`fake` where a source with a value is a test double."""


class Sources:
    """Every registered telemetry source, started. A context manager."""

    def __init__(self, server_pids: Iterable[int], server_cores: Iterable[int] = ()) -> None:
        """What the sources run belongs on the cores that none of these servers is pinned to, if there are any.

        `server_cores` are those of servers that are not there yet, or not all the time.
        """
        here = os.sched_getaffinity(0)
        serving = set(server_cores).union(*(os.sched_getaffinity(pid) for pid in server_pids))
        self._cores = tuple(sorted(here - serving or here))
        self._started: list[TelemetrySource] = []
        self._absent: list[Reading] = []

    def begin(self, server_pid: int) -> None:
        """The measured part of a block begins."""
        for source in self._started:
            source.begin(server_pid)

    def end(self, server_pid: int) -> Account:
        """The measured part is over. Of several sources for a column the first that has a value gives it."""
        values: dict[str, float] = {}
        absent: dict[str, list[str]] = {}
        provenances = set()
        answers = [(source.end(server_pid), source.provenance()) for source in self._started]
        for reading, provenance in [*answers, *((reading, "hardware") for reading in self._absent)]:
            for column, found in reading.items():
                if isinstance(found, Absent):
                    absent.setdefault(column, []).append(str(found))
                else:
                    values.setdefault(column, found)
                    provenances.add(provenance)
        why = {column: "; ".join(dict.fromkeys(reasons)) for column, reasons in absent.items() if column not in values}
        return Account(values, why, "fake" if "fake" in provenances else "hardware")

    def cpu_s(self) -> float:
        """CPU seconds so far of processes that the sources run."""
        return sum(source.cpu_s() for source in self._started)

    def __enter__(self) -> Self:
        try:
            for name in TELEMETRY:
                source = TELEMETRY.get(name)()
                self._started.append(source)
                if (absent := source.start(self._cores)) is not None:
                    self._started.pop().stop()
                    self._absent.append(source.all_absent(absent))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self._started:
            self._started.pop().stop()


class Observer:
    """CPU time, and the telemetry sources, read when a block's measured part begins and when it ends.

    In the same order at both ends, CPU time first, so that what a reading costs shifts its window and does not stretch
    it.
    """

    def __init__(self, server_pid: int, sources: Sources) -> None:
        self._pid = server_pid
        self._sources = sources
        self._readings: dict[Phase, dict[str, float]] = {}
        self._account: Account | None = None

    def on_phase(self, phase: Phase) -> None:
        """Called at both ends of the measured part."""
        machine = machine_cpu()
        self._readings[phase] = {
            "time_s": time.monotonic(),
            "server_cpu_s": tree_cpu_s(self._pid),
            "own_cpu_s": time.process_time() + self._sources.cpu_s(),
            "busy_s": machine.busy_s,
            "steal_s": machine.steal_s,
        }
        if phase == "measured":
            self._sources.begin(self._pid)
        else:
            self._account = self._sources.end(self._pid)

    def account(self, client_cpu_s: float, cores_granted: int) -> Account:
        """Differences between both ends, and what the sources say.

        Percent of the granted cores for the server, of the machine for the rest.
        """
        assert self._account is not None, "both ends of the measured part have been read"
        begin, end = self._readings["measured"], self._readings["finished"]
        used = {key: end[key] - begin[key] for key in begin}
        wall_s, cores = used["time_s"], machine_cpu().cores
        # The machine's counters go in ticks: each core's may be one off, which a short block must not take for work.
        rounding_s = cores / TICKS_PER_S
        known_s = (
            rounding_s + used["server_cpu_s"] + used["own_cpu_s"] + (0.0 if math.isnan(client_cpu_s) else client_cpu_s)
        )
        cores_used = used["server_cpu_s"] / wall_s
        cpu = {
            "cpu_s": used["server_cpu_s"],
            "cores_used": cores_used,
            "cpu_utilization_percent": 100 * cores_used / cores_granted,
            "machine_cpu_other_percent": max(0.0, 100 * (used["busy_s"] - known_s) / (wall_s * cores)),
            "cpu_steal_percent": 100 * used["steal_s"] / (wall_s * cores),
        }
        return Account({**self._account.values, **cpu}, self._account.absent, self._account.provenance)
