"""How many bodies of a deployment are read or decoded at a time: it bounds their memory as the queue does inputs."""

from __future__ import annotations

from inferlab.serve.batcher import QueueFullError

RETRY_AFTER_S = 1.0
"""Nobody knows when a client sends the rest of its body; the least that the header can say."""


class Room:
    """A context for one body. Bodies that came whole and are decoded at once need none."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.taken = 0

    def __enter__(self) -> None:
        """Raises QueueFullError where `limit` bodies are in it already."""
        if self.limit is not None and self.taken >= self.limit:
            raise QueueFullError(f"{self.taken} bodies are being read or decoded already", RETRY_AFTER_S)
        self.taken += 1

    def __exit__(self, *exc_info: object) -> None:
        self.taken -= 1
