"""A study's measurement where its scenarios are cold starts: one server at a time, in interleaved rounds."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from inferlab.columns import REQUEST_COLUMNS
from inferlab.load.block import Block, ClosedLoad
from inferlab.measure.cold_start import Start, Starter
from inferlab.measure.journal import Journal
from inferlab.measure.rounds import Measured, measure_rounds, next_round
from inferlab.measure.rows import block_row, request_rows
from inferlab.measure.settings import Settings
from inferlab.records import PlannedConfiguration

REQUESTS = 2
PER_REQUEST = ("cpu_s_per_request", "energy_j_per_request", "accelerator_energy_j_per_request")
"""What a start uses is not what a request does."""


def measure_starts(
    planned: Sequence[PlannedConfiguration],
    scenarios: Sequence[str],
    settings: Settings,
    starting: Callable[[], AbstractContextManager[Starter]],
    journal: Journal,
    advance: Callable[[int], None],
) -> None:
    """Run the rounds that the journal does not have yet: every configuration started once for each scenario.

    Each is started once before, unmeasured, so that its files are in the page cache and the load client has sent its
    first requests. `advance` is called with 1 for every start but those that are tried again.
    """
    if next_round(settings, journal) is None:
        return
    # Longer than the first request may take, so that it is always followed by the second.
    block = Block(ClosedLoad(1), 0.0, 2 * settings.timeout_s, settings.timeout_s, REQUESTS, settings.seed)
    with starting() as start:
        for row in planned:
            start(row, block)
            advance(1)

        def measure(cell: tuple[PlannedConfiguration, str], number: int, order: int) -> Measured:
            row, scenario = cell
            found = _attempts(row, scenario, number, order, settings, lambda: start(row, block))
            advance(1)
            return found

        measure_rounds([(row, name) for row in planned for name in scenarios], settings, journal, measure)


def _attempts(
    row: PlannedConfiguration,
    scenario: str,
    number: int,
    order: int,
    settings: Settings,
    start: Callable[[], Start],
) -> Measured:
    """A start, tried again where it is invalid; every attempt is kept."""
    frames, rows = [], []
    for attempt in range(settings.attempts):
        key = settings.key(row, scenario, number, attempt, order, warmup_s=0.0)
        found = start()
        frames.append(request_rows(found.result, {name: key[name] for name in REQUEST_COLUMNS if name in key}))
        block = block_row(
            found.result, found.account, None, settings.cores_granted, settings.limits, key, may_saturate=True
        )
        rows.append({**block, **dict.fromkeys(PER_REQUEST, math.nan), **found.times})
        if block["outcome"] == "measured":
            break
    return frames, rows
