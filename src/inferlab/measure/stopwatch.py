"""How long a session takes to load and to run, noted in a file by whichever process it is loaded in.

Servers report the inference of a request, but not those that they run before they are ready. Imports little, since the
server that is timed pays for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic as clock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from inferlab.serve.session import Session, SessionFactory

LOAD = "load"


@dataclass(frozen=True)
class TimedFactory:
    """Makes the session of `factory` with a stopwatch around it; picklable where that is."""

    factory: SessionFactory
    notes: Path

    def __call__(self) -> TimedSession:
        """Load the session. Raises what the factory raises."""
        begun_s = clock()
        session = self.factory()
        _note(self.notes, LOAD, clock() - begun_s)
        return TimedSession(session, self.notes)


class TimedSession:
    """A session that notes how many items each of its runs had, and how many seconds it took."""

    def __init__(self, session: Session, notes: Path) -> None:
        self.thread_safe = session.thread_safe
        self._session = session
        self._notes = notes

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As the session within."""
        begun_s = clock()
        outputs = self._session.run(inputs)
        _note(self._notes, str(len(next(iter(inputs.values())))), clock() - begun_s)
        return outputs

    def close(self) -> None:
        """As the session within."""
        self._session.close()


def read_times(notes: Path) -> dict[str, float]:
    """What was noted of one session: seconds of loading it, of its first run, and of the next run of as many items.

    NaN where there was none.
    """
    lines = [line.split() for line in notes.read_text(encoding="utf-8").splitlines()] if notes.is_file() else []
    load_s = [float(seconds) for what, seconds in lines if what == LOAD]
    runs = [(int(what), float(seconds)) for what, seconds in lines if what != LOAD]
    items, first_s = runs[0] if runs else (math.nan, math.nan)
    later_s = [seconds for size, seconds in runs[1:] if size == items]
    return {
        "session_load_s": load_s[0] if load_s else math.nan,
        "first_inference_s": first_s,
        "second_inference_s": later_s[0] if later_s else math.nan,
    }


def _note(notes: Path, what: str, seconds: float) -> None:
    with notes.open("a", encoding="utf-8") as file:
        file.write(f"{what} {seconds!r}\n")
