"""When a batch, and what waits, will be answered: from how long batches took, and how far off forecasts were."""

from __future__ import annotations

import math
from time import monotonic as clock
from typing import NamedTuple

SHARE_OF_LAST = 0.2
"""Weight of the last batch in the running means, as of those that follow."""
DEVIATIONS = 4.0
"""Mean absolute deviations that a forecast allows for, as RFC 6298 does."""
FORGOTTEN_AFTER_S, FORGOTTEN_AFTER_BATCHES = 1.0, 3.0
"""A class of which no batch ran for so long, in seconds and in batches of its own, is as if none ever had: else what it
refuses would keep it as it is."""


class _Mean(NamedTuple):
    batch_s: float
    at_s: float
    """When the last batch of the class was over, on the clock."""


class Forecast:
    """Running means of how long batches of each size class take, and of the errors of the forecasts made of them.

    A class is up to a power of two of items: engines pad, and the time of a batch grows with its size. Forecasts allow
    for the mean error and some mean deviations, as TCP's retransmission timer does (RFC 6298).
    """

    def __init__(self) -> None:
        self._means: dict[int, _Mean] = {}
        self._error_s = 0.0
        self._deviation_s = 0.0

    def batch_s(self, items: int) -> float:
        """How long a batch of this size takes; as the nearest class where none of its own ran, 0.0 where none did."""
        wanted = _class_of(items)
        found = self._means.get(wanted)
        if found is not None:
            lasts_s = max(FORGOTTEN_AFTER_S, FORGOTTEN_AFTER_BATCHES * found.batch_s)
            if clock() - found.at_s <= lasts_s or len(self._means) == 1:
                return found.batch_s
            del self._means[wanted]
        if not self._means:
            return 0.0
        return self._means[min(self._means, key=lambda known: abs(known - wanted))].batch_s

    def longest_s(self) -> float:
        """How long the slowest class of batches takes."""
        return max((mean.batch_s for mean in self._means.values()), default=0.0)

    def allowance_s(self) -> float:
        """How much later than forecast an answer may well be; negative where all come earlier."""
        return self._error_s + DEVIATIONS * self._deviation_s

    def ran(self, items: int, took_s: float) -> None:
        """A batch is over."""
        kind = _class_of(items)
        before_s = self._means[kind].batch_s if kind in self._means else took_s
        self._means[kind] = _Mean(before_s + SHARE_OF_LAST * (took_s - before_s), clock())

    def was_off(self, error_s: float) -> None:
        """An answer came so much later than forecast."""
        self._deviation_s += SHARE_OF_LAST * (math.fabs(error_s - self._error_s) - self._deviation_s)
        self._error_s += SHARE_OF_LAST * (error_s - self._error_s)

    def doubt(self, items: int) -> None:
        """All requests of a batch were refused because of `batch_s`, which then nothing would ever correct."""
        self._means[_class_of(items)] = _Mean(self.batch_s(items) * (1 - SHARE_OF_LAST), clock())


def _class_of(items: int) -> int:
    return max(items - 1, 0).bit_length()
