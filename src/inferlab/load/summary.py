"""From the rows of a block to its result; runs after the block, so that it costs the client nothing."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from inferlab.load.block import Block, BlockResult, ClosedLoad
from inferlab.load.loops import Offered, Row, clock
from inferlab.load.throughput import closed_loop_throughput, open_loop_throughput
from inferlab.load.timings import ServerTimings
from inferlab.load.warmup import settled


def summarize(
    block: Block, offered: Offered, read_timings: Callable[[object], ServerTimings], client_cpu_s: float
) -> BlockResult:
    """The result of a block. `read_timings` turns `Reply.timings` into durations.

    Where the warm-up's end is found only now, the CPU time of the measured part is its share of the whole block's.
    """
    warmup_s = offered.measured_from_s - offered.start_s
    if block.find_warmup:
        whole, cut = offered, settled(offered)
        warmup_s = math.nan
        if cut is not None:
            offered = cut
            warmup_s = offered.measured_from_s - offered.start_s
            client_cpu_s *= (offered.end_s - offered.measured_from_s) / (whole.end_s - whole.measured_from_s)
    rows = offered.rows
    times = np.array(
        [(row.scheduled_s, row.sent_s, row.reply.first_byte_s, row.done_s) for row in rows], dtype=np.float64
    ).reshape(-1, 4)
    scheduled_s, sent_s, _, done_s = times.T
    warmup = np.array([row.warmup for row in rows], dtype=bool)
    status = np.array([row.reply.status for row in rows], dtype="U8")
    timings = np.array([read_timings(row.reply.timings) for row in rows], dtype=np.float64).reshape(-1, 6)
    answered = status == "ok"
    measured = ~warmup
    if isinstance(block.load, ClosedLoad):
        caller = np.array([row.caller for row in rows])
        throughput_per_s = closed_loop_throughput(
            caller[measured], scheduled_s[measured], done_s[measured], answered[measured]
        )
    else:
        throughput_per_s = open_loop_throughput(done_s, answered, offered.measured_from_s, offered.window_end_s)
    lag_s = (sent_s - scheduled_s)[measured]
    columns = {
        "warmup": warmup,
        **dict(zip(("scheduled_s", "sent_s", "first_byte_s", "done_s"), (times - offered.start_s).T, strict=True)),
        "status": status,
        "http_status": np.array([row.reply.http_status for row in rows], dtype=np.int16),
        **dict(zip(ServerTimings._fields[:5], timings.T[:5], strict=True)),
        "batch_size": timings.T[5].astype(np.int16),
        "cached": np.array([row.reply.cached for row in rows], dtype=bool),
    }
    return BlockResult(
        columns=columns,
        started_unix_s=time.time() - (clock() - offered.start_s),
        throughput_per_s=throughput_per_s,
        offered_rate_per_s=offered.offered_rate_per_s,
        schedule_lag_p99_s=float(np.quantile(lag_s, 0.99)) if len(lag_s) else float("nan"),
        client_cpu_s=client_cpu_s,
        wall_s=offered.end_s - offered.measured_from_s,
        first_error=_first_error(rows),
        ended_early=offered.ended_early,
        warmup_s=warmup_s,
    )


def _first_error(rows: Sequence[Row]) -> str:
    failed = (row for row in rows if row.reply.status != "ok")
    first = min(failed, key=lambda row: row.scheduled_s, default=None)
    return f"{first.reply.status}: {first.reply.error}" if first else ""
