import asyncio
import gc
import itertools
import math
from collections.abc import Awaitable, Callable
from typing import Literal

import numpy as np
import pytest
from aiohttp import web

from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, BlockResult, ClosedLoad, HttpRequests, OpenLoad, Phase
from inferlab.load.client import quiet_collector, run_block

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


client: Literal["aiohttp", "http1"] = "aiohttp"


@pytest.fixture(params=["aiohttp", "http1"], autouse=True)
def every_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.client", request.param)


def load(
    handler: Handler,
    block: Block,
    bodies: tuple[bytes, ...] = (b"a", b"b"),
    phases: list[Phase] | None = None,
    method: Literal["GET", "POST"] = "POST",
) -> BlockResult:
    """Run a block against a server in the same event loop."""

    async def both() -> BlockResult:
        app = web.Application()
        app.router.add_route(method, "/", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            requests = HttpRequests(
                f"http://127.0.0.1:{port}/", {"Content-Type": "x/y", "X-One": "1"}, bodies, method, client
            )
            return await run_block(requests, block, phases.append if phases is not None else lambda phase: None)
        finally:
            await runner.cleanup()

    return asyncio.run(both())


def test_bodies_are_sent_in_turn_with_the_headers_over_one_connection_a_caller() -> None:
    seen: list[tuple[bytes, str, str]] = []
    peers: set[object] = set()

    async def handler(request: web.Request) -> web.Response:
        seen.append((await request.read(), request.headers["Content-Type"], request.headers["X-One"]))
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(0.001)
        return web.Response(headers={"Server-Timing": 'infer;dur=1.5, batch_size;desc="2"'})

    phases: list[Phase] = []
    result = load(handler, Block(ClosedLoad(3), 0.02, 0.05, 5.0), (b"a", b"b", b"c"), phases)
    bodies = [body for body, _, _ in seen]
    assert abs(bodies.count(b"a") - bodies.count(b"c")) <= 1
    assert {(kind, one) for _, kind, one in seen} == {("x/y", "1")}
    assert len(peers) == 3
    assert phases == ["measured", "finished"]
    assert set(result.columns["status"]) == {"ok"}
    assert set(result.columns["infer_s"]) == {0.0015}
    assert set(result.columns["batch_size"]) == {2}
    assert np.isnan(result.columns["parse_s"]).all()
    assert result.client_cpu_s > 0
    ordered = ("scheduled_s", "sent_s", "first_byte_s", "done_s")
    for earlier, later in itertools.pairwise(ordered):
        assert (result.columns[earlier] <= result.columns[later]).all()


def test_answers_from_the_cache_are_marked_and_payloads_are_drawn() -> None:
    seen: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(await request.read())
        known = seen.count(seen[-1]) > 1
        return web.Response(headers={"Cache-Status": "inferlab; hit" if known else "inferlab; fwd=miss"})

    block = Block(ClosedLoad(1), 0.0, 10.0, 5.0, max_requests=30, seed=4, zipf_exponent=2.0)
    result = load(handler, block, (b"a", b"b", b"c"))
    assert result.columns["cached"].tolist() == [seen.index(body) < place for place, body in enumerate(seen)]
    assert seen.count(b"c") > seen.count(b"b") > 0
    again = list(seen)
    seen.clear()
    load(handler, block, (b"a", b"b", b"c"))
    assert seen == again


def test_a_get_has_no_body_and_every_2xx_is_ok() -> None:
    lengths: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        lengths.append(request.headers.get("Content-Length"))
        assert request.method == "GET"
        return web.Response(status=204)

    result = load(handler, Block(ClosedLoad(1), 0.0, 1.0, 5.0, max_requests=3), (b"",), method="GET")
    assert set(lengths) == {None}
    assert result.columns["status"].tolist() == ["ok"] * 3
    assert result.columns["http_status"].tolist() == [204] * 3


def test_a_redirect_is_not_followed() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    result = load(handler, Block(ClosedLoad(1), 0.0, 1.0, 5.0, max_requests=2))
    assert result.columns["http_status"].tolist() == [307] * 2
    assert set(result.columns["status"]) == {"error"}


@pytest.mark.parametrize(
    ("http_status", "status"), [(503, "rejected"), (429, "rejected"), (504, "timeout"), (500, "error"), (400, "error")]
)
def test_answers_that_are_not_ok_are_told_apart(http_status: int, status: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=http_status, text="because")

    result = load(handler, Block(ClosedLoad(1), 0.0, 1.0, 5.0, max_requests=3))
    assert result.columns["status"].tolist() == [status] * 3
    assert result.columns["http_status"].tolist() == [http_status] * 3
    assert result.first_error == f"{status}: HTTP {http_status}: because"
    assert result.throughput_per_s == 0


def test_a_request_without_an_answer_is_given_up_after_its_time_out() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    result = load(handler, Block(ClosedLoad(2), 0.0, 0.01, 0.05))
    assert set(result.columns["status"]) == {"timeout"}
    assert set(result.columns["http_status"]) == {0}
    assert np.isnan(result.columns["first_byte_s"]).all()


def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    result = load(handler, Block(ClosedLoad(1), 0.0, 1.0, 5.0, max_requests=2))
    assert result.columns["status"].tolist() == ["error", "error"]
    assert {"aiohttp": "ServerDisconnectedError", "http1": "ConnectionResetError"}[client] in result.first_error


@pytest.mark.parametrize(("breaks_off", "status"), [(False, "timeout"), (True, "error")])
def test_the_first_byte_of_an_answer_that_does_not_end_is_kept(breaks_off: bool, status: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "9"})
        await response.prepare(request)
        await response.write(b"half")
        if breaks_off:
            assert request.transport is not None
            request.transport.close()
        else:
            await asyncio.sleep(0.6)
        return response

    result = load(handler, Block(ClosedLoad(1), 0.0, 1.0, 0.3, max_requests=1))
    assert result.columns["status"].tolist() == [status]
    assert (result.columns["first_byte_s"] > result.columns["sent_s"]).all()
    assert (result.columns["first_byte_s"] < result.columns["done_s"]).all()


def test_nobody_listening_is_an_error_of_each_request() -> None:
    requests = HttpRequests("http://127.0.0.1:9/", {}, (b"",), client=client)
    block = Block(ClosedLoad(1), 0.0, 1.0, 5.0, max_requests=2)
    result = asyncio.run(run_block(requests, block, lambda phase: None))
    assert result.columns["status"].tolist() == ["error", "error"]


def test_a_stall_of_the_server_shows_in_every_request_that_was_due_meanwhile() -> None:
    """Coordinated omission: a client that waited for answers would report one slow request."""
    stalled_until_s = math.inf
    stall_s = 0.3

    async def handler(request: web.Request) -> web.Response:
        nonlocal stalled_until_s
        loop = asyncio.get_running_loop()
        if stalled_until_s == math.inf:
            stalled_until_s = loop.time() + stall_s
        await asyncio.sleep(max(0.0, stalled_until_s - loop.time()))
        return web.Response()

    result = load(handler, Block(OpenLoad(ConstantArrivals(100.0)), 0.0, 0.6, 5.0))
    latency_s = result.columns["done_s"] - result.columns["scheduled_s"]
    assert len(latency_s) == 60
    assert (latency_s > 0.1).sum() >= 19
    assert latency_s.max() >= stall_s - 0.005


def test_bodies_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match="bodies"):
        HttpRequests("http://127.0.0.1/", {}, ())


def test_the_collector_is_off_during_a_block_and_on_after_an_error() -> None:
    with pytest.raises(RuntimeError), quiet_collector():
        assert not gc.isenabled()
        raise RuntimeError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
