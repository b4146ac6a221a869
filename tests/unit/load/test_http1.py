import asyncio
import base64
import gc
import itertools
import math
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from httptools import HttpParserError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferlab.load.block import HttpRequests
from inferlab.load.http1 import KEPT_BODY_BYTES, Answer, Connection, Pool, messages

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Run = Callable[[Coroutine[Any, Any, None]], None]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
END = b"\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nServer-Timing: infer;dur=1\r\nX:\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n"
LONG_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12b\r\n%b\r\n12c\r\n%b\r\n0\r\n\r\n" % (
    b"a" * 299,
    b"b" * 300,
)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
UNTIL_END = b"HTTP/1.1 200 OK\r\n\r\nabc"
UNTIL_END_1_0 = b"HTTP/1.0 200 OK\r\n\r\nabc"
LONGEST_S = 30.0
"""Of what must come to an end; nothing that works takes nearly as long."""


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run in a loop of its own, in which no callback may raise."""

    def in_loop(main: Coroutine[Any, Any, None]) -> None:
        contexts: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: contexts.append(context))
            runner.run(main)
        assert contexts == []

    yield in_loop
    gc.collect()  # a socket that was left open warns here at the latest


@asynccontextmanager
async def serving(talk: Talk, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server's port. Each talk goes on until the client closes, if it does not end itself, and each must end."""
    talks: list[asyncio.Task[None] | None] = []

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(each, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(LONGEST_S):
            await asyncio.gather(*(talk for talk in talks if talk is not None))
            await server.wait_closed()


@asynccontextmanager
async def pooled(talk: Talk, timeout_s: float = LONGEST_S, scheme: str = "http") -> AsyncIterator[Pool]:
    async with serving(talk) as port:
        pool = Pool(f"{scheme}://127.0.0.1:{port}/", timeout_s)
        try:
            yield pool
        finally:
            pool.close()


async def ask(pool: Pool) -> Answer:
    answer = Answer()
    await pool.ask(GET, answer)
    return answer


class Answering:
    """Gives every request the same answer, and then closes the connection or keeps it."""

    def __init__(self, answer: bytes, closes: bool = False) -> None:
        self.answer, self.closes, self.connections = answer, closes, 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            await reader.readuntil(END)
            writer.write(self.answer)
            if self.closes:
                return


def test_there_are_as_many_connections_as_requests_under_way_and_each_is_used_again(run: Run) -> None:
    async def main() -> None:
        together = asyncio.Barrier(3)
        requests: list[int] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            place = len(requests)
            requests.append(0)
            while True:
                await reader.readuntil(END)
                requests[place] += 1
                await together.wait()
                writer.write(EMPTY)

        async with pooled(talk) as pool:
            for _ in range(4):
                answers = await asyncio.gather(*(ask(pool) for _ in range(3)))
                assert [answer.http_status for answer in answers] == [200] * 3
        assert requests == [4, 4, 4]

    run(main())


@pytest.mark.parametrize(
    ("sent", "http_status", "body", "connections"),
    [
        (LENGTH, 200, b"abc", 1),
        (CHUNKED, 500, b"abc", 1),
        (EMPTY, 200, b"", 1),
        (NO_CONTENT, 204, b"", 1),
        (NOT_MODIFIED, 304, b"", 1),
        (CONTINUE + LENGTH, 200, b"abc", 1),
        (EARLY_HINTS + CONTINUE + NO_CONTENT, 204, b"", 1),
        (b"\r\n" + LENGTH, 200, b"abc", 1),
        (LENGTH.replace(b"X:", b"Connection: close"), 200, b"abc", 3),
        (LENGTH.replace(b"1.1", b"1.0"), 200, b"abc", 3),
        (LENGTH.replace(b"1.1", b"1.0").replace(b"X:", b"Connection: keep-alive"), 200, b"abc", 1),
    ],
)
def test_the_end_of_an_answer_is_found_and_its_connection_kept_where_it_may_be(
    run: Run, sent: bytes, http_status: int, body: bytes, connections: int
) -> None:
    async def main() -> None:
        talk = Answering(sent)
        async with pooled(talk) as pool:
            for _ in range(3):
                answer = await ask(pool)
                assert (answer.http_status, answer.body) == (http_status, body)
                assert not {b"x-interim", b"link"} & set(answer.headers)
        assert talk.connections == connections

    run(main())


@pytest.mark.parametrize("sent", [UNTIL_END, UNTIL_END_1_0, CONTINUE + UNTIL_END])
def test_an_answer_without_a_length_ends_with_its_connection(run: Run, sent: bytes) -> None:
    async def main() -> None:
        talk = Answering(sent, closes=True)
        async with pooled(talk) as pool:
            for _ in range(2):
                answer = await ask(pool)
                assert (answer.http_status, answer.body, answer.keep_alive) == (200, b"abc", False)
        assert talk.connections == 2

    run(main())


def test_of_a_repeated_header_the_first_counts(run: Run) -> None:
    async def main() -> None:
        async with pooled(Answering(LENGTH.replace(b"X:", b"SERVER-TIMING: proxy;dur=2"))) as pool:
            assert (await ask(pool)).headers[b"server-timing"] == b"infer;dur=1"

    run(main())


def test_of_a_long_body_a_part_is_kept(run: Run) -> None:
    async def main() -> None:
        talk = Answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
        async with pooled(talk) as pool:
            for _ in range(2):
                answer = await ask(pool)
                assert (answer.http_status, answer.body) == (200, bytes(KEPT_BODY_BYTES))
        assert talk.connections == 1

    run(main())


@given(
    st.sampled_from([LENGTH, CHUNKED, LONG_CHUNKS, NO_CONTENT, NOT_MODIFIED, EARLY_HINTS + CHUNKED, UNTIL_END]),
    st.sets(st.integers(1, 700)),
)
@example(LENGTH, set(range(1, 700)))
@example(LONG_CHUNKS, set(range(1, 700)))
@example(CONTINUE + CHUNKED, set(range(1, 700)))
@settings(max_examples=40)
def test_where_an_answer_is_cut_into_packets_changes_nothing(run: Run, sent: bytes, cuts: set[int]) -> None:
    async def main() -> None:
        edges = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
        pieces = [[sent], [sent[start:stop] for start, stop in itertools.pairwise(edges)]]

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await reader.readuntil(END)
                for piece in pieces.pop(0):
                    writer.write(piece)
                    await asyncio.sleep(0)  # the client, in the same loop, reads it
                if sent == UNTIL_END:
                    return

        async with pooled(talk) as pool:
            whole, cut = await ask(pool), await ask(pool)
        assert whole.first_byte_s <= cut.first_byte_s
        for name in set(Answer.__slots__) - {"first_byte_s"}:
            assert getattr(whole, name) == getattr(cut, name), name

    run(main())


def test_a_connection_that_the_server_closed_while_idle_is_not_used_again(run: Run) -> None:
    async def main() -> None:
        closed = asyncio.Event()
        connections = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(END)
            writer.write(EMPTY)
            writer.write_eof()
            assert await reader.read() == b""  # the client closed too
            closed.set()

        async with pooled(talk) as pool:
            for _ in range(3):
                closed.clear()
                assert (await ask(pool)).http_status == 200
                async with asyncio.timeout(LONGEST_S):
                    await closed.wait()
        assert connections == 3

    run(main())


def test_a_connection_is_not_open_from_the_moment_that_its_end_is_heard(run: Run) -> None:
    """connection_lost comes later: what is sent in between is lost."""

    class Listening(Connection):
        def eof_received(self) -> None:
            super().eof_received()
            heard.set_result(self.open)

    async def main() -> None:
        nonlocal heard
        heard = asyncio.get_running_loop().create_future()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write_eof()
            await reader.read()

        async with serving(talk) as port, asyncio.timeout(LONGEST_S):
            await asyncio.get_running_loop().create_connection(Listening, "127.0.0.1", port)
            assert not await heard

    heard: asyncio.Future[bool]
    run(main())


def test_a_request_over_a_connection_that_has_ended_fails_at_once(run: Run) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write_eof()
            assert await reader.read() == b""  # the client closed too
            closed.set()

        async with serving(talk) as port:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
            async with asyncio.timeout(LONGEST_S):
                await closed.wait()
            with pytest.raises(ConnectionResetError):
                await connection.ask(GET, Answer(), math.inf)

    run(main())


@pytest.mark.parametrize(
    ("sent", "begun"),
    [
        (b"", False),
        (CONTINUE, False),
        (CONTINUE + b"HTTP", True),
        (b"HTTP/1.1 200", True),
        (LENGTH[:30], True),
        (LENGTH[:-1], True),
        (CHUNKED[:-2], True),
    ],
)
def test_an_answer_that_breaks_off_is_an_error_and_its_first_byte_is_kept(run: Run, sent: bytes, begun: bool) -> None:
    async def main() -> None:
        talk = Answering(sent, closes=True)
        async with pooled(talk) as pool:
            for _ in range(2):
                answer = Answer()
                with pytest.raises(ConnectionResetError, match="before its answer was whole"):
                    await pool.ask(GET, answer)
                assert math.isnan(answer.first_byte_s) != begun
        assert talk.connections == 2

    run(main())


def test_a_reset_is_not_the_end_of_an_answer_without_a_length(run: Run) -> None:
    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(END)
            writer.write(UNTIL_END)
            linger = struct.pack("ii", 1, 0)  # for 0 s: closing is resetting
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        async with pooled(talk) as pool:
            with pytest.raises(ConnectionResetError):
                await ask(pool)

    run(main())


@pytest.mark.parametrize(
    "sent",
    [
        b"220 mail.example ESMTP\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        LENGTH.replace(b"h: 3", b"h: 3x"),
        CHUNKED.replace(b"2\r\nab", b"z\r\nab"),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_an_error_and_the_next_request_gets_a_new_connection(run: Run, sent: bytes) -> None:
    async def main() -> None:
        talk = Answering(sent)
        async with pooled(talk) as pool:
            with pytest.raises(HttpParserError):
                await ask(pool)
            talk.answer = EMPTY
            assert (await ask(pool)).http_status == 200
        assert talk.connections == 2

    run(main())


@pytest.mark.parametrize("more", [b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\n", EMPTY, b"more"])
def test_more_than_the_answer_is_not_part_of_it_and_ends_the_connection(run: Run, more: bytes) -> None:
    async def main() -> None:
        talk = Answering(LENGTH + more)
        async with pooled(talk) as pool:
            for _ in range(2):
                answer = await ask(pool)
                assert (answer.http_status, answer.headers[b"content-length"], answer.body) == (200, b"3", b"abc")
        assert talk.connections == 2

    run(main())


def test_what_nobody_asked_for_ends_an_idle_connection(run: Run) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(END)
            writer.write(EMPTY)
            await idle.wait()
            writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            with suppress(ConnectionError):
                assert await reader.read() == b""
            closed.set()

        idle = asyncio.Event()
        async with pooled(talk) as pool:
            for _ in range(2):
                idle.clear()
                closed.clear()
                assert (await ask(pool)).http_status == 200
                idle.set()
                async with asyncio.timeout(LONGEST_S):
                    await closed.wait()

    run(main())


@pytest.mark.parametrize(
    ("sent", "begun"), [(b"", False), (CONTINUE, False), (LENGTH[:20], True), (LENGTH[:-1], True), (UNTIL_END, True)]
)
def test_a_time_out_closes_the_connection_and_keeps_the_first_byte(run: Run, sent: bytes, begun: bool) -> None:
    async def main() -> None:
        talk = Answering(sent)
        async with pooled(talk, timeout_s=0.2) as pool:
            answer = Answer()
            with pytest.raises(TimeoutError):
                await pool.ask(GET, answer)
            assert math.isnan(answer.first_byte_s) != begun
            talk.answer = EMPTY
            assert (await ask(pool)).http_status == 200
        assert talk.connections == 2

    run(main())


def test_a_connection_that_is_not_made_in_time_is_a_time_out(run: Run) -> None:
    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # and says nothing of TLS

        async with pooled(talk, timeout_s=0.1, scheme="https") as pool:
            with pytest.raises(TimeoutError):
                await ask(pool)

    run(main())


def test_a_request_that_is_cancelled_closes_its_connection(run: Run) -> None:
    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(END)
            asked.set()
            await reader.read()
            closed.set()

        asked, closed = asyncio.Event(), asyncio.Event()
        async with pooled(talk) as pool:
            task = asyncio.create_task(ask(pool))
            async with asyncio.timeout(LONGEST_S):
                await asked.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await closed.wait()

    run(main())


def test_a_server_of_ipv6_is_reached_by_its_address(run: Run) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no ::1 ({error})")

    async def main() -> None:
        heads: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(END))
            writer.write(EMPTY)

        async with serving(talk, "::1") as port:
            requests = HttpRequests(f"http://[::1]:{port}/a", {}, (b"",), "GET", "http1")
            pool = Pool(requests.url, LONGEST_S)
            answer = Answer()
            await pool.ask(messages(requests)[0], answer)
            pool.close()
        assert answer.http_status == 200
        assert heads == [f"GET /a HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n".encode()]

    run(main())


def sent_to(url: str, headers: dict[str, str]) -> list[str]:
    """The lines of a GET."""
    message = messages(HttpRequests(url, headers, (b"",), "GET", "http1"))[0].decode()
    assert message.endswith("\r\n\r\n")
    return message.split("\r\n")[:-2]


@pytest.mark.parametrize(
    ("url", "first_lines"),
    [
        ("http://a.example", ["GET / HTTP/1.1", "Host: a.example"]),
        ("http://a.example:80/x?y=%20z#part", ["GET /x?y=%20z HTTP/1.1", "Host: a.example"]),
        ("http://a.example:8080/", ["GET / HTTP/1.1", "Host: a.example:8080"]),
        ("https://a.example:443/", ["GET / HTTP/1.1", "Host: a.example"]),
        ("https://a.example:80/", ["GET / HTTP/1.1", "Host: a.example:80"]),
        ("http://[::1]:80/", ["GET / HTTP/1.1", "Host: [::1]"]),
    ],
)
def test_the_host_is_named_with_its_port_where_that_is_not_the_schemes(url: str, first_lines: list[str]) -> None:
    assert sent_to(url, {"X-One": "1"}) == [*first_lines, "X-One: 1"]


def test_user_and_password_of_the_url_become_a_header() -> None:
    lines = sent_to("http://me:a%3Ab%40@a.example:8080/", {})
    assert lines[:2] == ["GET / HTTP/1.1", "Host: a.example:8080"]
    name, _, value = lines[2].partition(": Basic ")
    assert (name, base64.b64decode(value)) == ("Authorization", b"me:a:b@")
    assert len(lines) == 3


@pytest.mark.parametrize("name", ["Host", "host", "Authorization", "authorization"])
def test_a_header_that_is_given_replaces_ours_whatever_its_case(name: str) -> None:
    lines = sent_to("http://me:secret@a.example/", {name: "given"})[1:]
    assert len(lines) == 2
    assert [line.partition(": ")[2] for line in lines if line.lower().startswith(name.lower())] == ["given"]


def test_a_body_follows_its_length_and_a_post_without_one_says_so() -> None:
    requests = HttpRequests("http://a.example/", {"Content-Type": "x/y"}, (b"a\r\nb", b""), "POST", "http1")
    head = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Type: x/y\r\nContent-Length: "
    assert messages(requests) == [head + b"4\r\n\r\na\r\nb", head + b"0\r\n\r\n"]
