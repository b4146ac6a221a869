"""Clients that never end a message, over real sockets."""

import socket

import pytest

from inferlab.serve.bounded_http import MAX_HEAD_BYTES
from serve.endpoint import deployment, endpoint

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
