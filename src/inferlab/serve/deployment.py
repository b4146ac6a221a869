"""A model behind a batcher, under the name that is in its URLs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inferlab.serve.batcher import Answer
from inferlab.serve.cache import ResponseCache, key_of
from inferlab.serve.meter import Meter
from inferlab.serve.openinference import VERSION, body_limit
from inferlab.serve.room import Room
from inferlab.serve.tensors import DATATYPES, Spec
from inferlab.serve.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from inferlab.models.base import Model
    from inferlab.serve.batcher import Batcher
    from inferlab.serve.tensors import Tensors

PLATFORM = "inferlab"
FROM_CACHE = Timings(0.0, 0.0, 0.0, 0.0, 0.0, 0)
"""An answer from the cache was in no batch."""


@dataclass(frozen=True)
class Deployment:
    """`timeout_s` is the deadline of requests that bring none."""

    name: str
    model: Model
    batcher: Batcher
    optimization: str = ""
    target: str = ""
    timeout_s: float = float("inf")
    cache: ResponseCache | None = None
    meter: Meter = field(default_factory=Meter)
    prepare: Callable[[], None] | None = None
    """Called in a thread before the replicas load."""

    def answer(
        self, inputs: Tensors, deadline_s: float, gone: Callable[[], bool] | None, *, admitted: bool = False
    ) -> Awaitable[Answer]:
        """The answer to one request, from the cache where the deployment has one; else as Batcher.submit."""
        if self.cache is None:
            return self.batcher.submit(inputs, deadline_s, gone, admitted=admitted)
        return self._cached(self.cache, inputs, deadline_s, gone, admitted)

    async def _cached(
        self, cache: ResponseCache, inputs: Tensors, deadline_s: float, gone: Callable[[], bool] | None, admitted: bool
    ) -> Answer:
        key = key_of(inputs)
        found = cache.find(key)
        if found is not None:
            return Answer(found, FROM_CACHE)
        answer = await self.batcher.submit(inputs, deadline_s, gone, admitted=admitted)
        cache.keep(key, answer.outputs)
        return answer

    @cached_property
    def room(self) -> Room:
        """As many bodies may be read or decoded as items may wait."""
        return Room(self.batcher.queue_limit)

    @property
    def body_limit_bytes(self) -> int:
        """Bodies of `infer` beyond this are refused before they are read to the end."""
        return body_limit(self.model.inputs, self.batcher.max_batch_size)

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata; -1 stands for the batch dimension."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": [_tensor(spec) for spec in self.model.inputs],
            "outputs": [_tensor(spec) for spec in self.model.outputs],
        }

    def config(self) -> dict[str, Any]:
        """Triton's model configuration extension (extension_model_configuration.md); dims are without the batch."""
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": self.target,
            "max_batch_size": self.batcher.max_batch_size,
            "input": [_configured(spec) for spec in self.model.inputs],
            "output": [_configured(spec) for spec in self.model.outputs],
            "dynamic_batching": {"max_queue_delay_microseconds": 0},
            "parameters": {
                "optimization": {"string_value": self.optimization},
                "target": {"string_value": self.target},
            },
        }


def _tensor(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": [-1, *spec.shape]}


def _configured(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{DATATYPES[spec.dtype]}", "dims": list(spec.shape)}
