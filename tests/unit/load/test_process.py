import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inferlab.errors import MeasurementError
from inferlab.load.block import Block, ClosedLoad, HttpRequests, Phase
from inferlab.load.process import LoadProcess

CORE = min(os.sched_getaffinity(0))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def requests() -> Iterator[HttpRequests]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield HttpRequests(f"http://127.0.0.1:{server.server_address[1]}/", {}, (b"x",))
    server.shutdown()
    thread.join()
    server.server_close()


BLOCK = Block(ClosedLoad(2), 0.02, 5.0, 5.0, max_requests=20)


def test_one_process_runs_block_after_block_and_tells_their_phases(requests: HttpRequests) -> None:
    with LoadProcess((CORE,)) as load:
        pid = load.pid
        for _ in range(2):
            phases: list[Phase] = []
            result = load.run(requests, BLOCK, phases.append)
            assert phases == ["measured", "finished"]
            assert (~result.columns["warmup"]).sum() == 20
            assert set(result.columns["status"]) == {"ok"}
            assert result.throughput_per_s > 0
            assert 0 < result.client_cpu_s < 60
        assert load.pid == pid
    with pytest.raises(MeasurementError, match="not running"):
        load.run(requests, BLOCK)


def test_a_killed_client_is_an_error_that_says_so_and_a_new_start_works(requests: HttpRequests) -> None:
    load = LoadProcess((CORE,)).start()

    def kill(phase: Phase) -> None:
        os.kill(load.pid, signal.SIGKILL)

    long = Block(ClosedLoad(1), 0.0, 60.0, 5.0)
    with pytest.raises(MeasurementError, match=r"load client .* was ended by SIGKILL while running a block"):
        load.run(requests, long, kill)
    with load:
        assert load.run(requests, BLOCK).first_error == ""


def test_a_block_ends_when_it_is_told_and_a_late_word_says_nothing(requests: HttpRequests) -> None:
    with LoadProcess((CORE,)) as load:
        result = load.run(requests, Block(ClosedLoad(1), 0.0, 600.0, 5.0), lambda phase: load.end())
        assert result.ended_early
        assert set(result.columns["status"]) == {"ok"}
        load.end()
        assert not load.run(requests, BLOCK).ended_early


def test_ctrl_c_in_the_middle_of_a_block_ends_the_client_at_once(requests: HttpRequests) -> None:
    load = LoadProcess((CORE,)).start()
    pid = load.pid

    def interrupt(phase: Phase) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load.run(requests, Block(ClosedLoad(1), 0.0, 600.0, 5.0), interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
