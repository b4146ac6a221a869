"""Where the warm-up of a block ends, found in what was measured."""

import numpy as np

from inferlab.load.loops import Offered

BATCH = 5
FEWEST_BATCHES = 20
"""With fewer, the rule's minimum is chance."""


def mser5(values: np.ndarray) -> int | None:
    """How many of the first values to cut off so that the mean of the others is known best; None where that is unclear.

    The marginal standard error rule on means of 5 consecutive values (White, Simulation 69(6), 1997; White, Cobb &
    Spratt, Winter Simulation Conference 2000): of the k batch means the first d are cut where
    Σ_{i>d} (Y_i - mean of those)² / (k - d)² is smallest. Cut too few, and the transient inflates the sum; too many,
    and the divisor shrinks. A minimum in the second half says that the series has not settled, as those authors hold.
    `values`: [requests] in the order of time.
    """
    count = len(values) // BATCH
    if count < FEWEST_BATCHES:
        return None
    means = values[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    means = means - means.mean()  # sums of squares lose digits far from 0
    left = np.arange(count, 0, -1)
    sums = means[::-1].cumsum()[::-1]
    squares = np.square(means)[::-1].cumsum()[::-1]
    # Of the last few the sum of squares is 0 or nearly so whatever the series does.
    errors = ((squares - sums**2 / left) / left.astype(float) ** 2)[: count - BATCH]
    cut = int(errors.argmin())
    return cut * BATCH if cut <= count // 2 else None


def settled(offered: Offered) -> Offered | None:
    """The same block with what `mser5` cuts off marked as warm-up; None where the latency did not settle."""
    measured = sorted((row for row in offered.rows if not row.warmup), key=lambda row: row.scheduled_s)
    answered = [row for row in measured if row.reply.status == "ok"]
    cut = mser5(np.array([row.done_s - row.scheduled_s for row in answered]))
    if cut is None:
        return None
    from_s = answered[cut].scheduled_s if cut else offered.measured_from_s
    rows = [row._replace(warmup=row.warmup or row.scheduled_s < from_s) for row in offered.rows]
    due = sum(row.scheduled_s >= from_s for row in measured)
    closed = offered.offered_rate_per_s != offered.offered_rate_per_s
    rate_per_s = float("nan") if closed else due / (offered.window_end_s - from_s)
    return offered._replace(rows=rows, measured_from_s=from_s, offered_rate_per_s=rate_per_s)
