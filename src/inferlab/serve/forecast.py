"""When a batch, and what waits, will be answered: from how long batches took, and how far off forecasts were."""

from __future__ import annotations

import math

SHARE_OF_LAST = 0.2
"""Weight of the last batch in the running means, as of those that follow."""
DEVIATIONS = 4.0
"""Mean absolute deviations that a forecast allows for, as RFC 6298 does."""


class Forecast:
    """Running means of how long batches of each size class take, and of the errors of the forecasts made of them.

    A class is up to a power of two of items: engines pad, and the time of a batch grows with its size. Forecasts allow
    for the mean error and some mean deviations, as TCP's retransmission timer does (RFC 6298).
    """

    def __init__(self) -> None:
        self._batch_s: dict[int, float] = {}
        self._error_s = 0.0
        self._deviation_s = 0.0

    def batch_s(self, items: int) -> float:
        """How long a batch of this size takes; as the nearest class where none of its own ran, 0.0 where none did."""
        if not self._batch_s:
            return 0.0
        wanted = _class_of(items)
        found = self._batch_s.get(wanted)
        if found is not None:
            return found
        return self._batch_s[min(self._batch_s, key=lambda known: abs(known - wanted))]

    def longest_s(self) -> float:
        """How long the slowest class of batches takes."""
        return max(self._batch_s.values(), default=0.0)

    def allowance_s(self) -> float:
        """How much later than forecast an answer may well be."""
        return max(self._error_s + DEVIATIONS * self._deviation_s, 0.0)

    def ran(self, items: int, took_s: float) -> None:
        """A batch is over."""
        kind = _class_of(items)
        before_s = self._batch_s.get(kind, took_s)
        self._batch_s[kind] = before_s + SHARE_OF_LAST * (took_s - before_s)

    def was_off(self, error_s: float) -> None:
        """An answer came so much later than forecast."""
        self._deviation_s += SHARE_OF_LAST * (math.fabs(error_s - self._error_s) - self._deviation_s)
        self._error_s += SHARE_OF_LAST * (error_s - self._error_s)

    def doubt(self, items: int) -> None:
        """All requests of a batch were refused because of `batch_s`, which then nothing would ever correct."""
        wanted = _class_of(items)
        self._batch_s[wanted] = self.batch_s(items) * (1 - SHARE_OF_LAST)


def _class_of(items: int) -> int:
    return max(items - 1, 0).bit_length()
