"""Waking up on time.

Timers of event loops resolve 1 ms. A timerfd (timerfd_create(2)) wakes the loop through its selector within
microseconds and, unlike spinning, leaves the core to others meanwhile.
"""

import asyncio
import ctypes
import os
import time

CLOCK_MONOTONIC = 1
TFD_TIMER_ABSTIME = 1
NANOSECONDS = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Waits until moments of `time.monotonic()`, one at a time, in the event loop it was made in."""

    def __init__(self) -> None:
        # os.timerfd_create exists from Python 3.13 on
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._ring)
        self._rung: asyncio.Future[None] | None = None

    async def until(self, moment_s: float) -> None:
        """Return at `moment_s`, at once where it has passed."""
        if moment_s <= time.monotonic():
            return
        seconds, nanoseconds = divmod(int(moment_s * NANOSECONDS), NANOSECONDS)
        setting = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, nanoseconds))
        self._rung = self._loop.create_future()
        if self._libc.timerfd_settime(self._descriptor, TFD_TIMER_ABSTIME, ctypes.byref(setting), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._rung

    def ring(self) -> None:
        """Have who waits go on now."""
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)

    def close(self) -> None:
        """Give the descriptor back."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _ring(self) -> None:
        os.read(self._descriptor, 8)
        self.ring()
