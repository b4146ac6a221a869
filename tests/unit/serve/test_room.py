"""Bodies that are on their way or being decoded, over real sockets."""

import json
import socket
from contextlib import ExitStack

import pytest
from models.rows import PICTURES

from inferlab.models.base import MODELS
from inferlab.serve.batcher import QueueFullError
from inferlab.serve.room import Room
from serve.endpoint import Endpoint, deployment, endpoint, metrics
from serve.sessions import FakeLogitsFactory
from serve.test_running import GOOD, GOOD_HEADERS, INFER, until

HEAD = f"POST {INFER} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(GOOD)}\r\n"
HEAD += "".join(f"{name}: {value}\r\n" for name, value in GOOD_HEADERS.items())


def begun(at: Endpoint) -> socket.socket:
    """A client that has sent half of its body."""
    client = socket.create_connection(("127.0.0.1", at.port), timeout=30)
    client.sendall(f"{HEAD}\r\n".encode() + GOOD[:10])
    return client


def test_more_slow_bodies_than_the_queue_limit_are_503_and_others_are_answered() -> None:
    served = deployment(queue_limit=2)
    with endpoint(served) as at, ExitStack() as clients:
        slow = [clients.enter_context(begun(at)) for _ in range(2)]
        until(lambda: served.room.taken == 2)
        refused = clients.enter_context(begun(at))
        head, _, body = refused.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in head
        assert json.loads(body) == {"error": "2 bodies are being read or decoded already; try again in 1 s"}
        assert metrics(at)['inferlab_bodies{deployment="noop"}'] == 2
        assert at.ask("POST", INFER, GOOD, GOOD_HEADERS)[0] == 200
        for client in slow:
            client.sendall(GOOD[10:])
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert served.room.taken == 0
        assert served.meter.statuses == {200: 3, 503: 1}


def test_a_client_that_goes_away_in_its_body_leaves_the_room() -> None:
    served = deployment(queue_limit=1)
    with endpoint(served) as at:
        with begun(at):
            until(lambda: served.room.taken == 1)
        until(lambda: served.room.taken == 0)


def test_what_is_decoded_or_unpacked_in_a_thread_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS.get("efficientnet-lite").model_validate(
        {"name": "picture", "family": "efficientnet-lite", **PICTURES}
    )
    served = deployment("picture", FakeLogitsFactory("picture", 10), model, queue_limit=1)
    with endpoint(served) as at:
        served.room.taken = 1
        assert at.ask("POST", "/predict/picture", b"x", {"Content-Type": "image/png"})[0] == 503
        assert at.ask("POST", "/predict/picture", b"x", {"Content-Encoding": "gzip"})[0] == 503
        served.room.taken = 0
        assert at.ask("POST", "/predict/picture", b"x", {"Content-Type": "image/png"})[0] == 400


def test_without_a_limit_there_is_always_room() -> None:
    everything = Room(None)
    with everything, everything, everything:
        assert everything.taken == 3
    one = Room(1)
    with one, pytest.raises(QueueFullError, match="1 bodies are being"), one:
        raise AssertionError("there was room")
    assert one.taken == 0
