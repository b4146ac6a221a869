"""Table 5: where the time of a request goes, from the moment at which it was due to its answer."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inferlab.analyze.results import ACCOUNT, BREAKDOWN
from inferlab.analyze.rows import Row, table
from inferlab.analyze.statistics import NAN, mean_interval

if TYPE_CHECKING:
    import pandas as pd

STAGES = ("client", "transport", *(name.removesuffix("_s") for name in ACCOUNT))
"""In the order of a request, but that client and transport are at both ends."""
SUMS = ("server", "latency")
"""All of the server's account, and all of the stages."""

COLUMNS = {
    **{f"{name}{part}_s": "float64" for name in (*STAGES, *SUMS) for part in ("", "_low", "_high")},
    **{f"{name}_share": "float64" for name in (*STAGES, "server")},
}


def of_breakdown(rows: list[Row]) -> list[Row]:
    """The rows of studies of this kind, the A/A twin left out."""
    return [row for row in rows if row.kind == BREAKDOWN and not row.keys["twin"]]


def breakdown_table(rows: list[Row], confidence: float) -> "pd.DataFrame":
    """One line a row of the studies that break latency down; the handler's variants and the A/A twin are left out.

    Each stage is a mean in seconds over the measured requests of a round, then over rounds, with its t interval, of
    which only the part from zero on is kept: no duration is negative. Shares are of the latency, in each round.
    `server_s` is the sum of the server's own account (results.ACCOUNT). What is left of the latency is the client's,
    from due to sent, and the transport's: sockets, HTTP on both sides, and what of a framework is outside of the
    account. On the path `direct` there is no transport, and all that is left is the client's, which shares an event
    loop with the batcher. Without an account, transport and account are blank.
    """
    kept = [row for row in of_breakdown(rows) if not row.keys["handler"]]
    return table(kept, COLUMNS, [_values(row, confidence) for row in kept])


def stages_by_round(row: Row) -> "pd.DataFrame":
    """Mean seconds of STAGES and SUMS, a line a round."""
    means = row.stages.astype({name: "float64" for name in row.stages.columns if name != "round"})
    means = means.groupby("round").mean()
    server = means[list(ACCOUNT)].sum(axis=1, skipna=False)
    rest = means["latency_s"] - server
    direct = row.keys["path"] == "direct"
    client = rest if direct else means["sent_after_s"]
    transport = NAN if direct else rest - client
    found = means.rename(columns={name: name.removesuffix("_s") for name in (*ACCOUNT, "latency_s")})
    return found.assign(client=client, transport=transport, server=server)[[*STAGES, *SUMS]]


def _values(row: Row, confidence: float) -> dict[str, Any]:
    if not row.measured:
        return {}
    means = stages_by_round(row)
    values: dict[str, Any] = {}
    for name in (*STAGES, *SUMS):
        found = mean_interval(means[name].to_numpy(), confidence)
        # What is left of a latency may be a rounding error below zero.
        low = float(np.maximum(found.low, np.minimum(found.value, 0.0)))
        values |= {f"{name}_s": found.value, f"{name}_low_s": low, f"{name}_high_s": found.high}
    for name in (*STAGES, "server"):
        values[f"{name}_share"] = float((means[name] / means["latency"]).mean())
    return values
