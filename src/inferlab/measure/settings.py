"""How a study is measured, and the keys of its rows."""

from dataclasses import dataclass
from typing import Any

from inferlab.measure.precision import RoundsRule
from inferlab.measure.validity import Limits
from inferlab.records import PayloadMix, PlannedConfiguration


@dataclass(frozen=True)
class Settings:
    """How a study is measured: params.yaml `profiles.<name>.measure`, and what else determines its blocks.

    `capacity_callers` callers keep every configuration as busy as it can be, so many for each of its replicas.
    """

    study: str
    machine_id: str
    environment_id: str
    profile: str
    seed: int
    rounds: int
    precision: float | None
    max_rounds: int | None
    block_s: float
    warmup_s: float
    max_requests: int
    attempts: int
    timeout_s: float
    cores_granted: int
    limits: Limits
    mix: PayloadMix
    capacity_callers: int

    @property
    def stop(self) -> RoundsRule | None:
        """The rule that ends the rounds; None where their number is fixed."""
        if self.precision is None or self.max_rounds is None:
            return None
        return RoundsRule(precision=self.precision, least_rounds=self.rounds, max_rounds=self.max_rounds)

    @property
    def most_rounds(self) -> int:
        """Rounds that there are at most."""
        return self.rounds if self.max_rounds is None else self.max_rounds

    def key(
        self, row: PlannedConfiguration, scenario: str, number: int, attempt: int, order: int, warmup_s: float
    ) -> dict[str, Any]:
        """The key columns of a block: attempt `attempt` of the cell that came as the `order`-th of round `number`."""
        return {
            **row.configuration.model_dump(),
            "study": self.study,
            "configuration": row.configuration.id,
            "scenario": scenario,
            "machine_id": self.machine_id,
            "environment_id": self.environment_id,
            "provenance": row.provenance,
            "profile": self.profile,
            "round": number,
            "attempt": attempt,
            "order": order,
            "warmup_s": warmup_s,
        }
