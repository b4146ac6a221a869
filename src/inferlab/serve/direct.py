"""The path `direct`: the batcher without HTTP, loaded in its own process by the same loops as a server."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from inferlab.child import keep_freed_memory
from inferlab.load.loops import Reply, clock, offer
from inferlab.load.popularity import picks
from inferlab.load.summary import summarize
from inferlab.load.timings import UNTOLD, ServerTimings
from inferlab.serve.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from inferlab.load.block import Block, BlockResult, Phase
    from inferlab.serve.batcher import Batcher
    from inferlab.serve.host import Hosted
    from inferlab.serve.tensors import Tensors

NAN = float("nan")


def serve_direct(connection: Connection, hosted: Hosted) -> None:
    """The child: run each block that comes through the pipe against one batcher, until the pipe is closed."""
    import uvloop

    from inferlab.serve.batcher import Batcher
    from inferlab.serve.in_thread import InThread

    keep_freed_memory()
    batcher = Batcher([InThread(hosted.session_factory())], hosted.batching, hosted.max_batch_size)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(batcher.start())
        gc.collect()
        gc.freeze()  # as the HTTP server does
        connection.send(None)
        try:
            while True:
                payloads, block = connection.recv()
                connection.send(runner.run(run_block(batcher, payloads, block, connection.send)))
        finally:
            runner.run(_end(batcher))


async def _end(batcher: Batcher) -> None:
    await batcher.drain()
    await batcher.close()


async def run_block(
    batcher: Batcher, payloads: tuple[Tensors, ...], block: Block, on_phase: Callable[[Phase], None]
) -> BlockResult:
    """Run a block against a batcher; there is no HTTP, so `http_status` is 0 and the first byte comes with the last."""
    pick = picks(len(payloads), block.zipf_exponent, block.seed)

    async def send(number: int) -> Reply:
        from inferlab.serve.batcher import BatchTooLargeError, ClosedError
        from inferlab.serve.runner import InferenceError

        try:
            async with asyncio.timeout(block.timeout_s):
                answer = await batcher.submit(payloads[pick(number)])
        except TimeoutError:
            return Reply(NAN, "timeout", error="no answer in time")
        except (BatchTooLargeError, ClosedError, InferenceError) as error:
            return Reply(NAN, "error", error=str(error))
        return Reply(clock(), "ok", timings=answer.timings)

    offered = await offer(block, send, lambda: on_phase("measured"))
    on_phase("finished")
    return summarize(block, offered, _read_timings, client_cpu_s=NAN)


def _read_timings(timings: Any) -> ServerTimings:
    return ServerTimings(*timings) if isinstance(timings, Timings) else UNTOLD
