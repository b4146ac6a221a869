"""Progress with time left, on stderr: a bar where a person watches, a line now and then where a file does."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_INTERVAL_S = 10.0
"""How often a line appears where stderr is not a terminal."""


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show that `what` advances towards `total`; yields a function that takes the number of further steps done."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total, what)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advance(steps: int = 1) -> None:
            bar.advance(task, steps)

        yield advance


def _lines(total: int, what: str) -> Callable[[int], None]:
    started = time.monotonic()
    done = 0
    last = started

    def advance(steps: int = 1) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= LINE_INTERVAL_S and done < total:
            last = now
            left = (now - started) / done * (total - done)
            print(f"{what}: {done} of {total}, about {_clock(left)} left", file=sys.stderr, flush=True)

    return advance


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
