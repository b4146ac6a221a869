"""Requests on hot paths over real sockets: whole ones, ones in pieces, several at once, and those that are refused."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from serve.endpoint import Endpoint, deployment, endpoint
from serve.sessions import FakeFactory
from serve.test_running import until

BODY = b'{"input_ids": [1]}'
TOKEN = "0123456789abcdef"


def request(body: bytes = BODY, more: bytes = b"", version: bytes = b"1.1", path: bytes = b"/predict/noop") -> bytes:
    head = b"POST %s HTTP/%s\r\nHost: here\r\n%sContent-Length: %d\r\n\r\n" % (path, version, more, len(body))
    return head + body


@contextlib.contextmanager
def connected(at: Endpoint) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", at.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def answers(client: socket.socket, count: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """So many answers, in the order in which they come."""
    found = []
    with client.makefile("rb") as stream:
        for _ in range(count):
            status = int(stream.readline().split()[1])
            headers = {name.lower(): value for name, value in http.client.parse_headers(stream).items()}
            found.append((status, headers, stream.read(int(headers.get("content-length", 0)))))
    return found


def statuses(client: socket.socket, count: int = 1) -> list[int]:
    return [status for status, _, _ in answers(client, count)]


@contextlib.contextmanager
def full(token: str | None = None) -> Iterator[Endpoint]:
    """A server one of whose requests runs and one waits, which is as many as may."""
    busy = deployment(factory=FakeFactory(delay_s=0.5), queue_limit=1)
    more = b"" if token is None else b"Authorization: Bearer %s\r\n" % token.encode()
    with endpoint(busy, token=token) as at, contextlib.ExitStack() as stack:
        running, waiting = (stack.enter_context(connected(at)) for _ in range(2))
        running.sendall(request(more=more))
        until(lambda: busy.batcher.running == 1)
        waiting.sendall(request(more=more))
        until(lambda: busy.batcher.waiting == 1)
        yield at
        assert statuses(running) + statuses(waiting) == [200, 200]


def test_one_request_after_the_other_is_answered_on_one_connection() -> None:
    served = deployment()
    with endpoint(served) as at, connected(at) as client:
        for count in range(1, 4):
            client.sendall(request())
            [(status, headers, body)] = answers(client)
            assert status == 200
            assert "infer;dur=" in headers["server-timing"]
            assert set(json.loads(body)) == {"embedding"}
            assert served.meter.statuses[200] == count


def test_several_requests_at_once_are_answered_in_their_order() -> None:
    health = b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n"
    with endpoint(deployment()) as at, connected(at) as client:
        client.sendall(request() + request(b"{}") + health + request() + request(path=b"/predict/nope") + request())
        assert statuses(client, 6) == [200, 400, 200, 200, 404, 200]


@pytest.mark.parametrize("cuts", [[10], [60], [90, 95], list(range(1, 100, 7))])
def test_a_request_in_pieces_is_answered(cuts: list[int]) -> None:
    whole = request() + request()
    with endpoint(deployment()) as at, connected(at) as client:
        for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            client.sendall(whole[begin:end])
            time.sleep(0.01)
        assert statuses(client, 2) == [200, 200]


def test_a_client_that_wants_the_connection_closed_gets_it_closed() -> None:
    with endpoint(deployment()) as at, connected(at) as client:
        client.sendall(request(more=b"Connection: close\r\n"))
        assert statuses(client) == [200]
        assert client.recv(1) == b""


def test_an_old_client_is_answered_and_a_careful_one_told_to_go_on() -> None:
    with endpoint(deployment()) as at, connected(at) as old, connected(at) as careful:
        old.sendall(request(version=b"1.0"))
        assert statuses(old) == [200]
        assert old.recv(1) == b""
        head = request(more=b"Expect: 100-continue\r\n").removesuffix(BODY)
        careful.sendall(head)
        assert careful.recv(65536).startswith(b"HTTP/1.1 100 ")
        careful.sendall(BODY)
        assert statuses(careful) == [200]


def test_a_request_whose_client_has_gone_is_not_run() -> None:
    busy = deployment(factory=FakeFactory(delay_s=0.3))
    with endpoint(busy) as at, connected(at) as stays:
        stays.sendall(request())
        until(lambda: busy.batcher.running == 1)
        with connected(at) as leaves:
            leaves.sendall(request())
            until(lambda: busy.batcher.waiting == 1)
        assert statuses(stays) == [200]
        until(lambda: busy.meter.statuses[499] == 1)
        assert busy.batcher.waiting == 0


def test_a_full_queue_refuses_before_the_body_and_the_connection_stays() -> None:
    with full() as at, connected(at) as client:
        whole = request(BODY + b" " * 200_000)
        client.sendall(whole[:100])
        [(status, headers, body)] = answers(client)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "1 items wait already" in json.loads(body)["error"]
        assert at.server.deployments["noop"].meter.statuses[503] == 1
        client.sendall(whole[100:])  # not a word of it is taken for a head
        until(lambda: at.server.deployments["noop"].batcher.waiting == 0)
        client.sendall(request())
        assert statuses(client) == [200]


def test_where_a_token_is_asked_for_nobody_else_hears_of_the_queue() -> None:
    with full(TOKEN) as at, connected(at) as client:
        client.sendall(request())
        assert statuses(client) == [401]
        client.sendall(request(more=b"Authorization: Bearer %s\r\n" % TOKEN.encode()))
        assert statuses(client) == [503]


def test_a_server_that_stops_answers_what_it_took_and_closes() -> None:
    busy = deployment(factory=FakeFactory(delay_s=0.4))
    with endpoint(busy, linger_s=0.3) as at, connected(at) as taken, connected(at) as late:
        taken.sendall(request())
        until(lambda: busy.batcher.running == 1)
        at.begin_to_stop()
        until(lambda: at.server.draining)
        late.sendall(request())
        [(status, headers, _)] = answers(late)
        assert (status, headers["connection"]) == (503, "close")
        assert late.recv(1) == b""
        assert statuses(taken) == [200]
    assert at.drained == [True]
