"""What a batcher needs of whatever runs its batches: a session in a thread, or in a process of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inferlab.errors import InferlabError

if TYPE_CHECKING:
    from inferlab.serve.tensors import Tensors


class InferenceError(InferlabError):
    """The session failed on a batch."""


class ReplicaLostError(InferlabError):
    """The process that ran a batch ended or was ended before it was done."""


class Ran(NamedTuple):
    """A batch that was run."""

    outputs: list[Tensors]
    """Of each request, in their order."""
    batch_s: float
    """Putting requests together, and handing the batch over and back."""
    infer_s: float
    """In the session."""


class Listener(Protocol):
    """Who is told what comes of a runner; all is called in the event loop."""

    def up(self, runner: Runner) -> None:
        """It can run batches, one at a time."""

    def ran(self, runner: Runner, result: Ran | InferlabError) -> None:
        """The batch is over. After Ran it can run the next; after an error only once it is `up` again."""

    def down(self, runner: Runner) -> None:
        """It can run no batches until it is `up` again."""


class Runner(ABC):
    """Runs batches, one at a time, without ever blocking the event loop."""

    restarts: int = 0
    """How often what runs the session was replaced."""

    @property
    def report(self) -> int | None:
        """The file descriptor that is readable when a batch is over; None where there is none."""
        return None

    @abstractmethod
    async def start(self, listener: Listener) -> None:
        """Load the session; it is `up` when this returns. Raises what loading raises."""

    @abstractmethod
    def run(self, requests: Sequence[Tensors], items: int) -> None:
        """Run requests, whose tensors have `items` items together, as one batch; `ran` follows."""

    @abstractmethod
    async def close(self) -> None:
        """End it and free what it holds; nothing follows. Idempotent."""


def parts_of(outputs: Tensors, sizes: Sequence[int]) -> list[Tensors]:
    """Views of the outputs of each request of a batch; their items are `sizes`.

    Raises ValueError where an output does not have as many items as the batch.
    """
    items = sum(sizes)
    for name, value in outputs.items():
        if len(value) != items:
            raise ValueError(f"output {name!r} has {len(value)} items for a batch of {items}")
    if len(sizes) == 1:
        return [outputs]
    parts: list[Tensors] = []
    start = 0
    for size in sizes:
        end = start + size
        parts.append({name: value[start:end] for name, value in outputs.items()})
        start = end
    return parts
