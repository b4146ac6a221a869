"""When enough has been measured: a least time, a least count, and a target for how well the mean latency is known."""

from dataclasses import dataclass

from inferlab.load.batch_means import BatchMeans


@dataclass(frozen=True)
class StopRule:
    """The measured part ends when all of these are met, and at the latest with the block's `block_s`.

    `precision` is the target of half the 95 % interval of the mean latency, as a share of the mean; None is no target.
    """

    least_s: float
    least_requests: int
    precision: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.least_s < float("inf") or self.least_requests < 0:
            raise ValueError(f"{self}: least_s and least_requests must not be negative")
        if self.precision is not None and not 0 < self.precision < 1:
            raise ValueError(f"precision is {self.precision!r}; it must be between 0 and 1")


class Watch:
    """Looks at a block's measured requests as they are answered."""

    def __init__(self, rule: StopRule, measured_from_s: float) -> None:
        self._rule = rule
        self._least_s = measured_from_s + rule.least_s
        self._answered = 0
        self._batches = BatchMeans()

    def content(self, latency_s: float, done_s: float) -> bool:
        """Take the latency of a request that was answered at `done_s`; whether the rule is met with it.

        Where precision is asked for it is looked at with every full batch: more often would find it by chance.
        """
        self._answered += 1
        full = self._batches.add(latency_s)
        if self._answered < self._rule.least_requests or done_s < self._least_s:
            return False
        if self._rule.precision is None:
            return True
        return full and self._batches.relative_half_width() <= self._rule.precision
