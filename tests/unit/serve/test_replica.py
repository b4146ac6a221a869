"""Replicas as real processes behind a batcher."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import pytest
import uvloop

from inferlab.child import Child
from inferlab.errors import ArtifactError
from inferlab.serve.batcher import Batcher
from inferlab.serve.layout import Layout
from inferlab.serve.replica import Replica, ReplicaSettings
from inferlab.serve.runner import InferenceError, ReplicaLostError
from serve.sessions import CORE, NOOP, DamagedFactory, FakeFactory, FakeSession, payload

HANGS_ON, DIES_ON, FAILS_ON, SHORT_ON = 900, 901, 902, 903


class FaultySession(FakeSession):
    """Hangs, dies, raises or answers too little, as the ids say."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        first = inputs["input_ids"][0, 0]
        if first == HANGS_ON:
            time.sleep(600)
        if first == DIES_ON:
            os.kill(os.getpid(), signal.SIGKILL)
        outputs = super().run(inputs)
        return {"embedding": outputs["embedding"][:, :7]} if first == SHORT_ON else outputs


@dataclass(frozen=True)
class FaultyFactory:
    """Makes a FaultySession in the replica."""

    def __call__(self) -> FaultySession:
        return FaultySession(fails_on=FAILS_ON)


@dataclass(frozen=True)
class TellsEnvironment:
    """A session that answers with a number from its environment."""

    def __call__(self) -> FakeSession:
        class Session(FakeSession):
            def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                value = float(os.environ["REPLICA_NUMBER"])
                return {"embedding": np.full((len(inputs["input_ids"]), 384), value, np.float32)}

        return Session()


def replica(factory: object = FaultyFactory(), batch_limit_s: float = 30.0, **more: object) -> Replica:
    layout = Layout.of(NOOP.inputs, NOOP.outputs, 4)
    return Replica(ReplicaSettings("replica", factory, layout, (CORE,), batch_limit_s, **more))  # type: ignore[arg-type]


def run(replicas: list[Replica], use: Callable[[Batcher], Awaitable[None]]) -> None:
    async def main() -> None:
        batcher = Batcher(replicas, "dynamic", 4)
        await batcher.start()
        try:
            await use(batcher)
        finally:
            await batcher.close()
            await batcher.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (nobody tells a test of it)
            await asyncio.sleep(0.001)


def test_batches_go_there_and_back() -> None:
    async def use(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.submit(payload(value, 1 + value % 3)) for value in range(50)))
        for value, answer in enumerate(answers):
            assert answer.outputs["embedding"].shape == (1 + value % 3, 384)
            assert (answer.outputs["embedding"] == value).all()
            assert answer.timings.infer_s > 0
            assert answer.timings.batch_s > 0

    run([replica(FakeFactory())], use)


def test_an_answer_stays_what_it_was_while_later_batches_run() -> None:
    async def use(batcher: Batcher) -> None:
        first = await batcher.submit(payload(1))
        await batcher.submit(payload(2))
        assert (first.outputs["embedding"] == 1).all()

    run([replica(FakeFactory())], use)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (HANGS_ON, ReplicaLostError, "replica hung"),
        (DIES_ON, ReplicaLostError, "replica ended"),
        (FAILS_ON, InferenceError, "replica: the model failed on the batch of 1 requests"),
        (SHORT_ON, InferenceError, "replica: the model failed on the batch of 1 requests"),
    ],
)
def test_a_replica_that_fails_is_replaced_and_only_its_batch_is_lost(
    value: int, error: type[Exception], message: str
) -> None:
    one = replica(batch_limit_s=0.5)

    async def use(batcher: Batcher) -> None:
        before = one.pid
        bad = batcher.submit(payload(value))
        await asyncio.sleep(0.05)
        waiting = batcher.submit(payload(5))
        with pytest.raises(error, match=message):
            await bad
        async with asyncio.timeout(60):
            assert ((await waiting).outputs["embedding"] == 5).all()
        assert one.pid != before
        assert one.restarts == batcher.restarts == 1
        assert before is not None
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)

    run([one], use)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (FAILS_ON, "RuntimeError: the engine refuses"),
        (SHORT_ON, "MeasurementError: output 'embedding' has shape (1, 7) for a batch of 1"),
    ],
)
def test_the_words_of_a_session_that_fails_are_in_the_log_with_their_traceback(
    value: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(batcher: Batcher) -> None:
        with pytest.raises(InferenceError) as error:
            await batcher.submit(payload(value))
        assert words not in str(error.value)

    run([replica()], use)
    (record,) = [record for record in caplog.records if words in record.getMessage()]
    assert record.getMessage().startswith("replica: the model failed on a batch of 1 requests:\nTraceback (most recent")


def test_while_one_replica_is_replaced_the_other_serves() -> None:
    replicas = [replica(), replica()]

    async def use(batcher: Batcher) -> None:
        assert batcher.runners_up == 2
        assert replicas[0].pid is not None
        os.kill(replicas[0].pid, signal.SIGKILL)
        await until(lambda: batcher.runners_up == 1)
        assert batcher.accepts
        answers = await asyncio.gather(*(batcher.submit(payload(value)) for value in range(20)))
        assert [answer.outputs["embedding"][0, 0] for answer in answers] == list(range(20))
        await until(lambda: batcher.runners_up == 2)

    run(replicas, use)


@pytest.mark.parametrize("factory", [FaultyFactory(), DamagedFactory()])
def test_nothing_that_may_wait_for_a_process_is_done_in_the_event_loop(
    factory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: dict[str, bool] = {}

    def watch(name: str) -> None:
        original = getattr(Child, name)

        def called(self: Child, *arguments: object) -> object:
            waited[name] = threading.current_thread() is threading.main_thread()
            return original(self, *arguments)

        monkeypatch.setattr(Child, name, called)

    for name in ("receive", "kill"):
        watch(name)

    async def use(batcher: Batcher) -> None:
        with pytest.raises(InferenceError):
            await batcher.submit(payload(FAILS_ON))
        await batcher.submit(payload(1))

    with contextlib.suppress(ArtifactError):
        run([replica(factory)], use)
    assert waited == {"receive": False, "kill": False}


def test_what_does_not_load_at_first_is_raised() -> None:
    async def never(batcher: Batcher) -> None:
        raise AssertionError("it started")

    with pytest.raises(ArtifactError, match=r"model\.xml is damaged"):
        run([replica(DamagedFactory())], never)


def test_a_replica_has_the_environment_that_places_it() -> None:
    async def use(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.submit(payload(1)) for _ in range(2)))
        assert {float(answer.outputs["embedding"][0, 0]) for answer in answers} == {3.0, 4.0}

    run([replica(TellsEnvironment(), environment={"REPLICA_NUMBER": str(number)}) for number in (3, 4)], use)
