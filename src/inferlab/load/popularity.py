"""Which payload a request carries."""

from collections.abc import Callable

import numpy as np

from inferlab.records import PayloadMix

DRAWS = 65_536
"""Drawn before a block; a longer one begins again."""

Pick = Callable[[int], int]
"""The index of the payload that the n-th request of a block carries."""


def picks(distinct: int, zipf_exponent: float | None, seed: int) -> Pick:
    """All payloads in turn where `zipf_exponent` is None, else independent draws, the same ones for the same seed.

    The last payload is the most popular one: all in turn then leave a cache about as many draws would.
    """
    if zipf_exponent is None:
        return lambda number: number % distinct
    probabilities = PayloadMix(distinct=distinct, zipf_exponent=zipf_exponent).probabilities()
    drawn = np.random.default_rng(seed).choice(distinct, size=DRAWS, p=probabilities[::-1]).tolist()
    return lambda number: int(drawn[number % DRAWS])
