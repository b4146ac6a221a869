"""Where a request's time went on the server, and how the answer tells it."""

from typing import NamedTuple


class Timings(NamedTuple):
    """Durations in seconds; `batch_size` is in items. A batch gives its own durations to each of its requests."""

    parse_s: float
    """Body to tensors."""
    queue_s: float
    """Waiting for the session."""
    batch_s: float
    """Putting requests together, and handing the batch to the session's process and back."""
    infer_s: float
    """In the session."""
    serialize_s: float
    """Tensors to body."""
    batch_size: int
    """0 where the answer is from the response cache and was in no batch."""

    @property
    def cached(self) -> bool:
        """Whether the model was not asked."""
        return self.batch_size == 0


def as_parameters(timings: Timings, parse_s: float) -> dict[str, float]:
    """What an answer's own parameters can say, of batch and parsing: all but how long it takes to write them."""
    return {
        "parse_s": parse_s,
        "queue_s": timings.queue_s,
        "batch_s": timings.batch_s,
        "infer_s": timings.infer_s,
        "batch_size": timings.batch_size,
    }


def server_timing(timings: Timings) -> bytes:
    """The Server-Timing header (W3C): milliseconds with three decimals, the batch size as a metric of its own."""
    parse_s, queue_s, batch_s, infer_s, serialize_s, batch_size = timings
    return b"parse;dur=%.3f, queue;dur=%.3f, batch;dur=%.3f, infer;dur=%.3f, serialize;dur=%.3f, batch_size;desc=%d" % (
        parse_s * 1e3,
        queue_s * 1e3,
        batch_s * 1e3,
        infer_s * 1e3,
        serialize_s * 1e3,
        batch_size,
    )
