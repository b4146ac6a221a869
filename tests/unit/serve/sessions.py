"""Sessions without a model, for processes of their own."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inferlab.errors import ArtifactError
from inferlab.models.noop import EMBEDDING_SIZE, Noop

NOOP = Noop(name="noop", family="noop")
CORE = min(os.sched_getaffinity(0))


class FakeSession:
    """Answers with the mean of the ids in every place, after `delay_s`; fails where an id is `fails_on`."""

    def __init__(self, delay_s: float = 0.0, thread_safe: bool = True, fails_on: int | None = None) -> None:
        self.thread_safe = thread_safe
        self.closed = False
        self.batches: list[list[int]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._delay_s = delay_s
        self._fails_on = fails_on
        self._lock = threading.Lock()

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids = inputs["input_ids"]
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        self.batches.append(ids[:, 0].tolist())
        if self._delay_s:
            time.sleep(self._delay_s)
        with self._lock:
            self._at_once -= 1
        if self._fails_on is not None and (ids == self._fails_on).any():
            raise RuntimeError("the engine refuses")
        means = ids.mean(axis=1, dtype=np.float32)
        return {"embedding": np.repeat(means[:, None], EMBEDDING_SIZE, axis=1)}

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class FakeFactory:
    """Picklable; makes a FakeSession in the process that serves."""

    delay_s: float = 0.0
    fails_on: int | None = None

    def __call__(self) -> FakeSession:
        return FakeSession(self.delay_s, fails_on=self.fails_on)


class FakeLogitsSession(FakeSession):
    """A classifier whose logits follow from the mean of an input."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        self._name = name
        self._classes = classes

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        value = inputs[self._name]
        means = value.reshape(len(value), -1).mean(axis=1, dtype=np.float32)
        return {"logits": np.sin(means[:, None] * np.arange(1, self._classes + 1, dtype=np.float32))}


@dataclass(frozen=True)
class FakeLogitsFactory:
    """Makes a FakeLogitsSession for the input `name`."""

    name: str
    classes: int

    def __call__(self) -> FakeLogitsSession:
        return FakeLogitsSession(self.name, self.classes)


@dataclass(frozen=True)
class ThreadedFactory:
    """Starts threads as it loads, as engines do."""

    def __call__(self) -> FakeSession:
        for _ in range(3):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        return FakeSession()


@dataclass(frozen=True)
class DamagedFactory:
    """Fails as a session does whose artifact is damaged."""

    def __call__(self) -> FakeSession:
        raise ArtifactError("model.xml is damaged: its SHA-256 differs")


@dataclass(frozen=True)
class WaitingFactory:
    """Loads for as long as there is no file at `path`, and then as `then` does."""

    path: str
    then: Callable[[], FakeSession] = FakeFactory()

    def __call__(self) -> FakeSession:
        while not os.path.exists(self.path):  # noqa: PTH110 (nothing else of pathlib is needed)
            time.sleep(0.005)
        return self.then()


def payload(value: int, batch: int = 1) -> dict[str, np.ndarray]:
    """A request whose ids are all `value`."""
    return {"input_ids": np.full((batch, *NOOP.inputs[0].shape), value, dtype=np.int64)}
