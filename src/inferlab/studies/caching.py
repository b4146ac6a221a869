"""What does a response cache buy? One endpoint without a cache and with caches of several sizes."""

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inferlab.records import Configuration, Frozen, PayloadMix
from inferlab.studies.base import STUDIES, Study

Share = Annotated[float, Field(gt=0, le=1)]


class ZipfPayloads(Frozen):
    """`distinct` payloads of Zipf-distributed popularity."""

    distinct: Annotated[int, Field(ge=2, le=10_000)]
    zipf_exponent: Annotated[float, Field(ge=0, le=10)]


@STUDIES.register("caching")
class Caching(Study):
    """The FastAPI server with dynamic batching, under requests of which some come again more often than others.

    `cache_shares` are the sizes of the caches: the share of the distinct payloads whose answers they hold.
    """

    kind: Literal["caching"]
    payloads: ZipfPayloads
    cache_shares: Annotated[tuple[Share, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _sizes_differ(self) -> Self:
        held = [round(share * self.payloads.distinct) for share in self.cache_shares]
        if min(held) < 1 or len(set(held)) < len(held):
            raise ValueError(
                f"cache_shares that hold different numbers of the {self.payloads.distinct} payloads, at least one "
                f"(these hold {', '.join(map(str, held))})"
            )
        return self

    @property
    def mix(self) -> PayloadMix:
        """The same Zipf-distributed draws for every configuration."""
        return PayloadMix(distinct=self.payloads.distinct, zipf_exponent=self.payloads.zipf_exponent)

    def configurations(self, model: str, optimizations: Sequence[str], targets: Sequence[str]) -> list[Configuration]:
        """Each endpoint without a cache, then with each size of it."""
        return [
            Configuration(
                model=model,
                optimization=optimization,
                target=target,
                path="fastapi",
                batching="dynamic",
                cache_share=share,
            )
            for target, optimization, share in product(targets, optimizations, (0.0, *self.cache_shares))
        ]

    def is_reference(self, configuration: Configuration) -> bool:
        """The original model's endpoint without a cache."""
        return configuration.optimization == "original" and configuration.cache_share == 0
