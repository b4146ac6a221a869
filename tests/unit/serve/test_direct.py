import asyncio
import math

import numpy as np

from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, BlockResult, ClosedLoad, OpenLoad, Phase
from inferlab.serve.batcher import Batcher
from inferlab.serve.direct import run_block
from inferlab.serve.in_thread import InThread
from serve.sessions import FakeSession, payload

PAYLOADS = (payload(1), payload(2), payload(3))


def run(session: FakeSession, block: Block, phases: list[Phase] | None = None) -> BlockResult:
    async def main() -> BlockResult:
        batcher = Batcher([InThread(session)], "dynamic", 4)
        await batcher.start()
        try:
            return await run_block(batcher, PAYLOADS, block, [].append if phases is None else phases.append)
        finally:
            await batcher.drain()
            await batcher.close()

    return asyncio.run(main())


def test_payloads_are_sent_in_turn_and_batches_are_told() -> None:
    session = FakeSession(delay_s=0.002)
    phases: list[Phase] = []
    result = run(session, Block(ClosedLoad(4), 0.01, 5.0, 5.0, max_requests=40), phases)
    sent = [value for batch in session.batches for value in batch]
    assert sent[:6] == [1, 2, 3, 1, 2, 3]
    assert phases == ["measured", "finished"]
    assert set(result.columns["status"]) == {"ok"}
    assert set(result.columns["http_status"]) == {0}
    assert result.columns["batch_size"].max() == 4
    assert (result.columns["infer_s"] >= 0.002).all()
    assert (result.columns["first_byte_s"] <= result.columns["done_s"]).all()
    assert math.isnan(result.client_cpu_s)


def test_a_request_that_takes_too_long_is_given_up_and_never_reaches_the_session() -> None:
    session = FakeSession(delay_s=0.2)
    result = run(session, Block(OpenLoad(ConstantArrivals(200.0)), 0.0, 0.05, 0.02))
    assert set(result.columns["status"]) == {"timeout"}
    assert len(result.columns["status"]) == 10
    assert sum(len(batch) for batch in session.batches) < 10
    assert np.isnan(result.columns["first_byte_s"]).all()


def test_a_failing_session_is_a_status_with_its_words() -> None:
    result = run(FakeSession(fails_on=2), Block(ClosedLoad(1), 0.0, 5.0, 5.0, max_requests=3))
    assert result.columns["status"].tolist() == ["ok", "error", "ok"]
    assert "the engine refuses" in result.first_error
