"""`inferlab load`: from what was typed to a block of load; everything is checked before any work."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inferlab.errors import UnknownNameError, UserError
from inferlab.load.arrivals import Arrivals, ConstantArrivals, GammaArrivals, PoissonArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad
from inferlab.load.ramp import RampArrivals
from inferlab.load.stopping import StopRule
from inferlab.load.trace import TraceArrivals, read_trace

SCENARIOS = ("closed", "open")
ARRIVALS = ("constant", "poisson", "gamma", "ramp", "trace")
DEFAULT_DURATION_S = 10.0
DEFAULT_MAX_DURATION_S = 300.0
DEFAULT_WARMUP_S = 1.0
LONGEST_S = 86_400.0
MOST_CLIENTS = 10_000
MOST_REQUESTS = 5_000_000
"""Every request keeps a record in memory until the block is over, of about half a kilobyte."""
FILES_OF_ITS_OWN = 64
"""Of the client's process: what it has open besides connections."""


@dataclass(frozen=True)
class LoadOptions:
    """What was typed; None where an option was not given."""

    url: str
    scenario: str = "closed"
    clients: int | None = None
    rate: float | None = None
    arrivals: str | None = None
    variation: float | None = None
    ramp_to: float | None = None
    trace: Path | None = None
    duration: float | None = None
    min_duration: float | None = None
    min_requests: int | None = None
    max_duration: float | None = None
    precision: float | None = None
    warmup: str | None = None
    bodies: Sequence[Path] = ()
    headers: Sequence[str] = ()
    timeout: float = 30.0
    seed: int = 1
    requests_out: Path | None = None
    core: int | None = None
    ceiling: bool = False


def block_of(options: LoadOptions) -> Block:
    """How to send it. Raises UserError."""
    if options.scenario not in SCENARIOS:
        raise UnknownNameError("--scenario", options.scenario, SCENARIOS)
    _in_range("--timeout", options.timeout, LONGEST_S)
    find_warmup = options.warmup == "auto"
    if options.scenario == "closed":
        _refuse(options, ("rate", "arrivals", "variation", "ramp_to", "trace"), "--scenario open")
        clients = 1 if options.clients is None else options.clients
        if not 1 <= clients <= MOST_CLIENTS:
            raise UserError(f"--clients is {clients}; allowed: 1 to {MOST_CLIENTS:,}")
        _check_files(clients)
        block_s, stop = _time(options, None)
        warmup_s = 0.0 if find_warmup else _warmup(options.warmup, DEFAULT_WARMUP_S)
        return Block(
            ClosedLoad(clients),
            warmup_s,
            block_s,
            options.timeout,
            MOST_REQUESTS,
            options.seed,
            None,
            stop,
            find_warmup,
        )
    _refuse(options, ("clients",), "--scenario closed")
    trace = _trace(options)
    warmup_s = 0.0 if find_warmup else _warmup(options.warmup, DEFAULT_WARMUP_S if trace is None else 0.0)
    block_s, stop = _time(options, None if trace is None else trace.duration_s - warmup_s)
    arrivals: Arrivals
    if trace is not None:
        arrivals = trace
    else:
        arrivals = _steady(options) or _ramp(options, warmup_s, block_s)
        _check_count(options, warmup_s + block_s)
    return Block(OpenLoad(arrivals), warmup_s, block_s, options.timeout, None, options.seed, None, stop, find_warmup)


def allowed_cores(core: int | None) -> tuple[int, ...]:
    """The cores of the client: the one that was asked for, or all that this process may use. Raises UserError."""
    allowed = sorted(os.sched_getaffinity(0))
    if core is not None and core not in allowed:
        raise UserError(f"--core is {core}; allowed here: {', '.join(map(str, allowed))}")
    return tuple(allowed) if core is None else (core,)


def check_requests_out(path: Path | None) -> None:
    """Raise UserError where the file of records could not be written."""
    if path is None:
        return
    if path.suffix != ".parquet":
        raise UserError(f"--requests-out is {str(path)!r}; its name must end in .parquet")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--requests-out is {str(path)!r}; it must be a file in a folder that can be written to")


def _warmup(text: str | None, default_s: float) -> float:
    try:
        warmup_s = default_s if text is None else float(text)
    except ValueError:
        warmup_s = math.nan
    if not 0 <= warmup_s <= LONGEST_S:
        raise UserError(f"--warmup is {text!r}; allowed: seconds from 0 to {LONGEST_S:g}, or auto")
    return warmup_s


def _time(options: LoadOptions, whole_s: float | None) -> tuple[float, StopRule | None]:
    """The longest time that is measured, and the rule that may end it earlier; `whole_s` is a trace's length."""
    rules = ("min_duration", "min_requests", "precision")
    ruled = any(getattr(options, name) is not None for name in rules)
    if whole_s is not None and whole_s <= 0:
        raise UserError(f"--warmup is {options.warmup}, which is the whole trace; give less, or a longer trace")
    if not ruled:
        _refuse(options, ("max_duration",), "--precision, --min-requests or --min-duration")
        duration_s = options.duration if options.duration is not None else whole_s or DEFAULT_DURATION_S
        return _in_range("--duration", duration_s, LONGEST_S), None
    if options.duration is not None:
        raise UserError("--duration is a time without a stop rule; with one, give --max-duration")
    most_s = options.max_duration if options.max_duration is not None else whole_s or DEFAULT_MAX_DURATION_S
    _in_range("--max-duration", most_s, LONGEST_S)
    least_s = options.min_duration or 0.0
    if not 0 <= least_s <= most_s:
        raise UserError(f"--min-duration is {least_s:g}; allowed: 0 to the maximum of {most_s:g} s")
    if not 0 <= (options.min_requests or 0) <= MOST_REQUESTS:
        raise UserError(f"--min-requests is {options.min_requests}; allowed: 0 to {MOST_REQUESTS:,}")
    if options.precision is not None and not 0.001 <= options.precision <= 0.5:
        raise UserError(f"--precision is {options.precision:g}; allowed: 0.001 to 0.5 (of the mean latency)")
    return most_s, StopRule(least_s, options.min_requests or 0, options.precision)


def _trace(options: LoadOptions) -> TraceArrivals | None:
    if options.arrivals is not None and options.arrivals not in ARRIVALS:
        raise UnknownNameError("--arrivals", options.arrivals, ARRIVALS)
    if options.arrivals != "trace":
        _refuse(options, ("trace",), "--arrivals trace")
        return None
    _refuse(options, ("rate", "variation", "ramp_to"), "other --arrivals than trace")
    if options.trace is None:
        raise UserError("--arrivals trace needs --trace FILE")
    return read_trace(options.trace, MOST_REQUESTS)


def _steady(options: LoadOptions) -> Arrivals | None:
    kind = options.arrivals or "constant"
    if options.rate is None:
        raise UserError("--scenario open needs --rate, the requests per second, or --arrivals trace")
    rate_per_s = _in_range("--rate", options.rate, float(MOST_REQUESTS))
    if kind != "gamma":
        _refuse(options, ("variation",), "--arrivals gamma")
    if kind == "ramp":
        return None
    _refuse(options, ("ramp_to",), "--arrivals ramp")
    if kind == "constant":
        return ConstantArrivals(rate_per_s)
    if kind == "poisson":
        return PoissonArrivals(rate_per_s)
    variation = 2.0 if options.variation is None else options.variation
    if not 0.01 <= variation <= 100:
        raise UserError(f"--variation is {variation:g}; allowed: 0.01 to 100 (1 is Poisson)")
    return GammaArrivals(rate_per_s, variation)


def _ramp(options: LoadOptions, warmup_s: float, block_s: float) -> Arrivals:
    if options.ramp_to is None or options.rate is None:
        raise UserError("--arrivals ramp needs --rate and --ramp-to, the requests per second at its ends")
    if options.warmup == "auto" or options.precision is not None:
        raise UserError("--warmup auto and --precision are for a load that stays; a ramp changes all the time")
    return RampArrivals(options.rate, _in_range("--ramp-to", options.ramp_to, float(MOST_REQUESTS)), block_s, warmup_s)


def _check_count(options: LoadOptions, duration_s: float) -> None:
    """What is due is planned before the block, and kept until its end."""
    count = max(options.rate or 0.0, options.ramp_to or 0.0) * duration_s
    if count > MOST_REQUESTS:
        raise UserError(
            f"the rate × {duration_s:g} s are up to {count:,.0f} requests; {MOST_REQUESTS:,} are allowed in one run"
        )


def _in_range(name: str, value: float, most: float) -> float:
    if not 0 < value <= most:
        raise UserError(f"{name} is {value:g}; allowed: above 0, at most {most:g}")
    return value


def _refuse(options: LoadOptions, names: Iterable[str], belongs_to: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} belongs to {belongs_to}")


def _check_files(clients: int) -> None:
    """A connection is an open file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and clients + FILES_OF_ITS_OWN > most:
        raise UserError(f"--clients is {clients}; this process may open {most} files (ulimit -Hn), so give fewer")
