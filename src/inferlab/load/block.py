"""What a block of load is, and what comes of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from inferlab.load.arrivals import Arrivals
from inferlab.load.stopping import StopRule

Phase = Literal["measured", "finished"]
"""Moments of a block: its warm-up is over, its last request is done."""
LEAST_REQUESTS = 2
"""Of each caller in a closed loop with a warm-up, both in it and after it. Callers begin together, so that a batcher
takes their first requests as one batch; of the next ones it takes the one that comes back first alone. A caller's only
measured request was that one where a batch took longer than the warm-up, and throughput × latency was 12 for 8 callers.
"""


@dataclass(frozen=True)
class ClosedLoad:
    """N callers, each of whom sends the next request when the previous one is done."""

    callers: int


@dataclass(frozen=True)
class OpenLoad:
    """Requests at moments that do not depend on the answers."""

    arrivals: Arrivals


@dataclass(frozen=True)
class Block:
    """One configuration under load for a short time.

    Requests that are due in the first `warmup_s` are marked and not counted; then come `block_s` of measured ones, of
    which there are at most `max_requests`. A request without an answer after `timeout_s` is given up. Payloads are sent
    in turn or, with a `zipf_exponent`, as Zipf's law has it. With a `stop` rule the measured part ends when the rule is
    met, after `block_s` at the latest. With `find_warmup` the end of the warm-up is found in what was measured.
    """

    load: ClosedLoad | OpenLoad
    warmup_s: float
    block_s: float
    timeout_s: float
    max_requests: int | None = None
    seed: int = 0
    zipf_exponent: float | None = None
    stop: StopRule | None = None
    find_warmup: bool = False

    def __post_init__(self) -> None:
        if self.warmup_s < 0 or not self.block_s > 0 or not self.timeout_s > 0:
            raise ValueError(
                f"warmup_s={self.warmup_s}, block_s={self.block_s}, timeout_s={self.timeout_s}: "
                "warmup_s must not be negative, the others must be positive"
            )
        if self.max_requests is not None and self.max_requests < 1:
            raise ValueError(f"max_requests is {self.max_requests}; it must be at least 1")
        if self.find_warmup and self.warmup_s > 0:
            raise ValueError(f"warmup_s is {self.warmup_s}; with find_warmup it must be 0")
        if isinstance(self.load, ClosedLoad) and self.load.callers < 1:
            raise ValueError(f"callers is {self.load.callers}; it must be at least 1")

    @property
    def longest_s(self) -> float:
        """The block cannot take longer: a caller's least requests of both parts and a last one may each time out."""
        return self.warmup_s + self.block_s + (2 * LEAST_REQUESTS + 1) * self.timeout_s


@dataclass(frozen=True)
class HttpRequests:
    """What to send: each body in turn to one URL with the same headers. A GET with an empty body has none at all."""

    url: str
    headers: dict[str, str]
    bodies: tuple[bytes, ...]
    method: Literal["GET", "POST"] = "POST"
    client: Literal["aiohttp", "http1"] = "aiohttp"
    """What sends: aiohttp, with which studies are measured, or `load.http1`, which adds less of its own."""

    def __post_init__(self) -> None:
        if not self.bodies:
            raise ValueError("bodies is empty; there must be at least one")


@dataclass(frozen=True)
class BlockResult:
    """What a block gave: one row a request, warm-up included, in the order of completion.

    `columns` has those of `columns.REQUEST_COLUMNS` that the load knows, as float64, int16, bool or str arrays. Times
    are in seconds since the block's start; durations that the server did not tell are NaN, its batch size then is 0.
    """

    columns: dict[str, np.ndarray]
    started_unix_s: float
    throughput_per_s: float
    """Of requests with status ok; see `load.throughput`."""
    offered_rate_per_s: float
    """Of the open loop's schedule, requests due / time; NaN in a closed loop."""
    schedule_lag_p99_s: float
    """99th percentile of sent - scheduled over the measured requests: how late the client itself was."""
    client_cpu_s: float
    """CPU time that the client's process used during `wall_s`; NaN where it shares its process with the server."""
    wall_s: float
    """The measured part: from the end of the warm-up to the last answer; in an open loop to the end of its schedule
    where that is later."""
    first_error: str
    """What happened to the first request that was not answered as it should; empty where all were."""
    ended_early: bool = False
    """A stop rule was met, or somebody asked for the end."""
    warmup_s: float = 0.0
    """How long the part before the measured one was; NaN where it was to be found and the latency did not settle."""
