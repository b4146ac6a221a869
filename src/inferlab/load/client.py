"""Sending requests over HTTP, as fast as one core can and with nothing to do but record in between."""

import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from httptools import HttpParserError
from multidict import istr
from yarl import URL

from inferlab.load.block import Block, BlockResult, HttpRequests, Phase
from inferlab.load.ending import Ending
from inferlab.load.http1 import Answer, Pool, messages
from inferlab.load.loops import Reply, Send, clock, offer
from inferlab.load.popularity import Pick, picks
from inferlab.load.summary import summarize
from inferlab.load.timings import UNTOLD, ServerTimings, parse_server_timing

REJECTED = frozenset({429, 503})
GATEWAY_TIMEOUT = 504
SERVER_TIMING = istr("Server-Timing")
CACHE_STATUS = istr("Cache-Status")
HIT = "; hit"
"""How the only cache on the way ends its entry (RFC 9211)."""
ERROR_TEXT_LENGTH = 300
NAN = float("nan")


async def run_block(
    requests: HttpRequests, block: Block, on_phase: Callable[[Phase], None], ending: Ending | None = None
) -> BlockResult:
    """Run a block over fresh connections, which live as long as the block: one a caller in a closed loop.

    Redirects are answers and not followed. Where there is an `ending`, it can end the measured part early.
    """
    cpu_s = time.process_time()

    def on_measured() -> None:
        nonlocal cpu_s
        cpu_s = time.process_time()
        on_phase("measured")

    async with _sending(requests, block) as send:
        with quiet_collector():
            offered = await offer(block, send, on_measured, ending)
        cpu_s = time.process_time() - cpu_s
        on_phase("finished")
    return summarize(block, offered, _read_timings, cpu_s)


@asynccontextmanager
async def _sending(requests: HttpRequests, block: Block) -> AsyncIterator[Send]:
    pick = picks(len(requests.bodies), block.zipf_exponent, block.seed)
    if requests.client == "http1":
        pool = Pool(requests.url, block.timeout_s)
        try:
            yield _http1(pool, messages(requests), pick)
        finally:
            pool.close()
        return
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=block.longest_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=requests.headers,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=block.timeout_s),
    ) as session:
        yield _Sender(session, requests, pick).send


def _http1(pool: Pool, requests: Sequence[bytes], pick: Pick) -> Send:
    async def send(number: int) -> Reply:
        answer = Answer()
        try:
            await pool.ask(requests[pick(number)], answer)
        except TimeoutError:
            return Reply(answer.first_byte_s, "timeout", error="no answer in time")
        except (OSError, HttpParserError) as error:
            return Reply(answer.first_byte_s, "error", error=f"{type(error).__name__}: {error}")
        cached = answer.headers.get(b"cache-status", b"").endswith(HIT.encode())
        timings = answer.headers.get(b"server-timing")
        return _reply(answer.first_byte_s, answer.http_status, answer.body, timings, cached)

    return send


class _Sender:
    def __init__(self, session: aiohttp.ClientSession, requests: HttpRequests, pick: Pick) -> None:
        self._session = session
        self._pick = pick
        self._url = URL(requests.url)
        self._bodies = tuple(body or None for body in requests.bodies) if requests.method == "GET" else requests.bodies
        self._method = requests.method

    async def send(self, number: int) -> Reply:
        body = self._bodies[self._pick(number)]
        first_byte_s = NAN
        try:
            async with self._session.request(self._method, self._url, data=body, allow_redirects=False) as response:
                first_byte_s = clock()
                answer = await response.read()
        except TimeoutError:
            return Reply(first_byte_s, "timeout", error="no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Reply(first_byte_s, "error", error=f"{type(error).__name__}: {error}")
        headers = response.headers
        cached = CACHE_STATUS in headers and headers[CACHE_STATUS].endswith(HIT)
        return _reply(first_byte_s, response.status, answer, headers.get(SERVER_TIMING), cached)


def _reply(first_byte_s: float, http_status: int, body: bytes | bytearray, timings: object, cached: bool) -> Reply:
    if 200 <= http_status < 300:
        return Reply(first_byte_s, "ok", http_status, timings, cached=cached)
    text = f"HTTP {http_status}: {body[:ERROR_TEXT_LENGTH].decode(errors='replace')}"
    return Reply(first_byte_s, _status_of(http_status), http_status, error=text)


def _status_of(http_status: int) -> str:
    if http_status in REJECTED:
        return "rejected"
    return "timeout" if http_status == GATEWAY_TIMEOUT else "error"


def _read_timings(header: object) -> ServerTimings:
    if isinstance(header, bytes):
        header = header.decode("latin-1")
    return parse_server_timing(header) if isinstance(header, str) else UNTOLD


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Keep the garbage collector out of a block: a collection stops the client for milliseconds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
