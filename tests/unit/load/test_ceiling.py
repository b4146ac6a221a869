import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.load.block import HttpRequests
from inferlab.load.ceiling import ANSWER, Responder, measure_ceiling
from inferlab.load.process import LoadProcess

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 6\r\n\r\n\r\n\r\nab"


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.bytes += data


@given(st.lists(st.sampled_from([GET, POST]), min_size=1, max_size=5), st.data())
def test_every_request_is_answered_once_however_its_bytes_arrive(requests: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    responder, transport = Responder(), Written()
    responder.connection_made(transport)
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        responder.data_received(stream[begin:end])
    assert transport.bytes == ANSWER * len(requests)


@pytest.mark.parametrize(
    "requests",
    [
        HttpRequests("https://example.invalid/x", {}, (b"",), "GET"),
        HttpRequests("http://h/", {"A": "b"}, (b"abc", b"")),
    ],
)
def test_the_ceiling_is_measured_without_the_server(monkeypatch: pytest.MonkeyPatch, requests: HttpRequests) -> None:
    monkeypatch.setattr("inferlab.load.ceiling.WARMUP_S", 0.05)
    monkeypatch.setattr("inferlab.load.ceiling.BLOCK_S", 0.2)
    with LoadProcess((min(os.sched_getaffinity(0)),)) as client:
        assert measure_ceiling(client, requests, callers=4) > 0
