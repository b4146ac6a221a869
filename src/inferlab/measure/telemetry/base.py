"""What a telemetry source is: one file that gives columns of blocks.parquet, or says why it cannot.

A source registers itself in TELEMETRY and is started once a study. Counters are read at both ends of a block's measured
part; what has none is sampled between them, away from the server's cores.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from inferlab.records import Provenance
from inferlab.registry import Registry


@dataclass(frozen=True)
class Absent:
    """Why a quantity is not available, and how to get it; `hint` is empty where there is no way."""

    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.reason} (how to get it: {self.hint})" if self.hint else self.reason


Reading = dict[str, float | Absent]
"""Values by column of blocks.parquet, or why there is none."""


class TelemetrySource(ABC):
    """Gives `columns`. Raises nothing where a quantity cannot be had: it answers with Absent."""

    columns: ClassVar[tuple[str, ...]]

    def start(self, cores: Sequence[int]) -> Absent | None:  # noqa: B027 (files of the kernel need neither this)
        """Get ready for a study, or say why that cannot be. What the source itself runs belongs on `cores`."""

    @abstractmethod
    def begin(self, server_pid: int) -> None:
        """The measured part of a block of this server begins. Has to be quick."""

    @abstractmethod
    def end(self, server_pid: int) -> Reading:
        """The measured part is over: a value, or why there is none, for each of `columns`."""

    def stop(self) -> None:  # noqa: B027 (nor this)
        """The study is over. Idempotent; also called where `start` found nothing."""

    def cpu_s(self) -> float:
        """CPU seconds so far of processes that the source runs beside this one."""
        return 0.0

    def provenance(self) -> Provenance:
        """`hardware` where what answers is what its vendor ships, else `fake`."""
        return "hardware"

    def all_absent(self, absent: Absent) -> Reading:
        """One reason for every column."""
        return dict.fromkeys(self.columns, absent)


TELEMETRY: Registry[type[TelemetrySource]] = Registry("telemetry source", "inferlab.measure.telemetry")
