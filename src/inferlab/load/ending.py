"""The end of a block's measured part, which may come before its time: a stop rule is content, or somebody asks."""

import time
from collections.abc import Callable

LEAST_WINDOW_S = 1e-3
"""However early the end comes, there is a window to count in."""


class Ending:
    """When the measured part of a block ends, in `time.monotonic()`. The loop that runs the block plans it."""

    def __init__(self) -> None:
        self.end_s = float("inf")
        self.early = False
        self._least_s = float("-inf")
        self._tell: Callable[[], None] = lambda: None

    def plan(self, measured_from_s: float, end_s: float, tell: Callable[[], None] | None = None) -> None:
        """Set where the measured part begins and ends; `tell` is called when the end is moved."""
        self.end_s = end_s
        self._least_s = measured_from_s + LEAST_WINDOW_S
        if tell is not None:
            self._tell = tell

    def end(self) -> None:
        """End the measured part now. Idempotent."""
        if not self.early:
            self.early = True
            self.end_s = min(self.end_s, max(time.monotonic(), self._least_s))
            self._tell()
