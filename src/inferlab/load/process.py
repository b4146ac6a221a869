"""The load client as a process of its own, pinned to its own cores, for as long as a study lasts."""

import asyncio
import os
import resource
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

from inferlab.child import HANDSHAKE_TIMEOUT_S, Child
from inferlab.errors import MeasurementError
from inferlab.load.block import Block, BlockResult, HttpRequests, Phase

SUMMARY_TIMEOUT_S = 60.0
"""Beyond the block's own time limits: for turning its rows into arrays."""
STOP_GRACE_S = 5.0
END = "end the block"
"""A message to the child while it runs a block; one that comes too late says nothing."""


def ignore_phase(phase: Phase) -> None:
    """For callers that need not know how far a block is."""


class LoadProcess:
    """A child process that runs blocks of load on command.

    A context manager; `start` and `stop` do the same by hand. After an error or Ctrl-C in the middle of a block the
    process is gone and a new one is needed.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self.cores = tuple(cores)
        self._child: Child | None = None

    def start(self) -> Self:
        """Start the child and wait until it is ready. Raises MeasurementError where it cannot start."""
        child = Child("load client", serve_blocks, (), self.cores)
        try:
            child.receive(HANDSHAKE_TIMEOUT_S, "starting")
        except BaseException:
            child.stop(grace_s=0)
            raise
        self._child = child
        return self

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        return self._running().pid

    def run(
        self, requests: HttpRequests, block: Block, on_phase: Callable[[Phase], None] = ignore_phase
    ) -> BlockResult:
        """Run one block and wait for its result; `on_phase` is called in this process as the block goes on.

        Raises MeasurementError where the client itself fails. What the server or the network does wrong is a status of
        the requests concerned.
        """
        child = self._running()
        try:
            return run_on_child(child, (requests, block), block, on_phase)
        except BaseException:
            self._child = None
            child.stop(grace_s=0)
            raise

    def check(self) -> None:
        """Raise MeasurementError where the process is gone."""
        self._running().check()

    def end(self) -> None:
        """Have the block that runs end its measured part now. For signal handlers and `on_phase`."""
        self._running().send(END, "ending a block")

    def stop(self) -> None:
        """End the process. Idempotent."""
        if self._child is not None:
            self._child.stop(STOP_GRACE_S)
            self._child = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _running(self) -> Child:
        if self._child is None:
            raise MeasurementError("the load client is not running")
        return self._child


def run_on_child(child: Child, command: Any, block: Block, on_phase: Callable[[Phase], None]) -> BlockResult:
    """Have a child run a block: send the command, pass its phases on, return its result."""
    doing = "running a block"
    child.send(command, doing)
    while True:
        message = child.receive(block.longest_s + SUMMARY_TIMEOUT_S, doing)
        if isinstance(message, BlockResult):
            return message
        on_phase(message)


def serve_blocks(connection: Connection) -> None:
    """The child: run each block that comes through the pipe, until it is closed."""
    import uvloop

    from inferlab.load.client import run_block
    from inferlab.load.ending import Ending

    async def run(requests: HttpRequests, block: Block) -> BlockResult:
        ending = Ending()

        def told() -> None:
            try:
                connection.recv()  # END: nothing else is sent during a block
            except (EOFError, OSError):
                loop.remove_reader(connection.fileno())  # the parent is gone, and the kernel ends this process
            ending.end()

        loop = asyncio.get_running_loop()
        loop.add_reader(connection.fileno(), told)
        os.set_blocking(connection.fileno(), True)  # uvloop made it non-blocking, which a Connection cannot be
        try:
            return await run_block(requests, block, connection.send, ending)
        finally:
            loop.remove_reader(connection.fileno())

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an open loop may need a connection a request
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        connection.send("ready")
        while True:
            command = connection.recv()
            if command != END:
                connection.send(runner.run(run(*command)))
