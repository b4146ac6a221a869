"""Reading a server's account of a request: the Server-Timing header (W3C Server Timing)."""

from typing import NamedTuple

NAN = float("nan")


class ServerTimings(NamedTuple):
    """Durations in seconds, NaN where the server did not tell; batch size 0 where it did not tell."""

    parse_s: float = NAN
    queue_s: float = NAN
    batch_s: float = NAN
    infer_s: float = NAN
    serialize_s: float = NAN
    batch_size: int = 0


UNTOLD = ServerTimings()
_DURATIONS = frozenset(name.removesuffix("_s") for name in ServerTimings._fields if name.endswith("_s"))


def parse_server_timing(header: str) -> ServerTimings:
    """`parse;dur=0.041, queue;dur=0.012, batch_size;desc="8"` -> timings; durations there are in milliseconds.

    Metrics of other names, and values that are no numbers, are left out: the header is advice, not protocol.
    """
    durations: dict[str, float] = {}
    batch_size = 0
    for metric in header.split(","):
        name, *parameters = (part.strip() for part in metric.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if name in _DURATIONS and "dur" in values:
            durations[f"{name}_s"] = _milliseconds(values["dur"])
        elif name == "batch_size":
            size = values.get("desc", "").strip('"')
            batch_size = int(size) if size.isdecimal() and len(size) < 5 else 0
    return UNTOLD._replace(**durations, batch_size=batch_size)


def _milliseconds(text: str) -> float:
    try:
        return float(text) / 1e3
    except ValueError:
        return NAN
