"""Clients that never end a message, over real sockets."""

import contextlib
import json
import socket
import time

import pytest

from inferlab.serve import bounded_http
from inferlab.serve.bounded_http import MAX_HEAD_BYTES
from serve.endpoint import Endpoint, deployment, endpoint, metrics

CHUNK = b"a" * 65536
LENGTH = b"Content-Length: 2\r\n\r\n{}"
HEAD = b"POST /predict/noop HTTP/1.1\r\nHost: here\r\n"


def sent_until_closed(port: int, begin: bytes, chunk: bytes, most: int) -> tuple[int, bytes]:
    """Send `begin`, then `chunk` again and again; how many bytes were taken, and the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(begin)
        sent = 0
        try:
            while sent < most:
                client.sendall(chunk)
                sent += len(chunk)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    return sent, answer


@pytest.mark.parametrize(
    ("begin", "chunk"),
    [
        (b"GET /", CHUNK),
        (HEAD + b"X-Endless: ", CHUNK),
        (HEAD, b"X-Many: 1\r\n" * 5000),
    ],
)
def test_an_endless_head_is_refused(begin: bytes, chunk: bytes) -> None:
    with endpoint(deployment()) as at:
        sent, _ = sent_until_closed(at.port, begin, chunk, 64 * MAX_HEAD_BYTES)
        assert sent < 64 * MAX_HEAD_BYTES
        assert at.ask("GET", "/v2/health/live")[0] == 200


@pytest.mark.parametrize("trailer", [b"x" * 65536, b"X-Trailer: 1\r\n" * 5000])
def test_endless_trailers_are_refused(trailer: bytes) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: "
    with endpoint(deployment()) as at:
        sent, _ = sent_until_closed(at.port, chunked, trailer, 64 * MAX_HEAD_BYTES)
        assert sent < 64 * MAX_HEAD_BYTES


def test_long_heads_and_many_messages_on_one_connection_are_answered() -> None:
    with endpoint(deployment()) as at, socket.create_connection(("127.0.0.1", at.port), timeout=30) as client:
        for _ in range(5):
            client.sendall(HEAD + b"X-Long: " + b"a" * 20_000)
            client.sendall(b"b" * 20_000 + b"\r\n" + LENGTH)
            answer = b""
            while b"}" not in answer:
                answer += client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"input_ids" in answer


ASKED = b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n"


def connected(at: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", at.port), timeout=30)


def kept(at: Endpoint) -> socket.socket:
    """A connection that was answered and stays open."""
    client = connected(at)
    client.sendall(ASKED)
    assert client.recv(65536).startswith(b"HTTP/1.1 200")
    return client


def read_to_end(client: socket.socket) -> bytes:
    answer = b""
    while chunk := client.recv(65536):
        answer += chunk
    return answer


def test_a_connection_beyond_the_limit_gets_503_and_those_before_it_go_on() -> None:
    with endpoint(deployment(), max_connections=2) as at:
        with kept(at) as first, kept(at):
            with connected(at) as third:
                third.sendall(ASKED)
                head, _, body = read_to_end(third).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
                assert b"retry-after: 1" in head
                assert b"connection: close" in head
                assert json.loads(body) == {"error": "2 connections are open already; try again in 1 s"}
            first.sendall(ASKED)
            assert first.recv(65536).startswith(b"HTTP/1.1 200")
        while at.server.connections.open:
            time.sleep(0.005)
        found = metrics(at)
        assert found["inferlab_connections"] == 1
        assert found['inferlab_connections_refused_total{status="503"}'] == 1


def test_connections_that_stay_idle_make_room_for_new_ones() -> None:
    with endpoint(deployment(), max_connections=2) as at, connected(at) as silent, kept(at) as busy:
        while at.server.connections.open < 2:
            time.sleep(0.005)
        status = 0
        while status != 200:
            busy.sendall(ASKED)
            assert busy.recv(65536).startswith(b"HTTP/1.1 200")
            status = at.ask("GET", "/v2/health/live")[0]
            assert status in (200, 503)
        assert silent.recv(1) == b""
        assert at.server.connections.refused[503] > 0


def test_connections_beyond_the_limit_on_which_nothing_comes_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "SURPLUS_AT_MOST", 3)
    with endpoint(deployment(), max_connections=1) as at, kept(at):
        silent = [connected(at) for _ in range(6)]
        for client in silent:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
            client.close()
        while at.server.connections.surplus:
            time.sleep(0.005)
        assert at.server.connections.refused == {503: 6}
        assert at.server.connections.open == 1


def test_what_is_refused_before_it_is_a_request_is_counted() -> None:
    with endpoint(deployment()) as at:
        with connected(at) as client:
            client.sendall(b"no http at all\r\n\r\n")
            assert read_to_end(client).startswith(b"HTTP/1.1 400")
        assert metrics(at)['inferlab_connections_refused_total{status="400"}'] == 1
