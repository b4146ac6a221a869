"""The order of a round's blocks: seeded, random, another in each round, the same when a run is resumed."""

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def shuffled(items: Sequence[Item], *key: object) -> list[Item]:
    """`items` in the random order that `key` determines."""
    order = list(items)
    random.Random("/".join(map(str, key))).shuffle(order)
    return order
