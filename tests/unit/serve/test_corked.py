import socket
from typing import Any

from inferlab.serve.corked import Corked
from serve.endpoint import deployment, endpoint


class Transport:
    """Notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("close")

    def is_closing(self) -> bool:
        return "close" in self.done


def corked() -> tuple[Any, list[Any]]:
    transport = Transport()
    return Corked(transport), transport.done  # type: ignore[arg-type]


def test_a_head_goes_out_with_its_body_and_other_writes_at_once() -> None:
    it, done = corked()
    it.write(b"alone")
    it.cork()
    it.write(b"head")
    assert done == [b"alone"]
    it.write(b"body")
    it.write(b"more")
    assert done == [b"alone", b"headbody", b"more"]


def test_a_head_whose_body_is_empty_or_never_comes_goes_out_too() -> None:
    it, done = corked()
    it.cork()
    it.write(b"head")
    it.write(b"")
    assert done == [b"head"]
    it.cork()
    it.write(b"last")
    it.close()
    assert done == [b"head", b"last", "close"]
    assert it.is_closing()


def test_an_answer_of_a_hot_path_is_one_packet() -> None:
    with endpoint(deployment()) as at, socket.create_connection(("127.0.0.1", at.port), timeout=30) as client:
        body = b'{"input_ids": [1]}'
        head = b"POST /predict/noop HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        for _ in range(3):
            client.sendall(head + body)
            first = client.recv(65536)
            length = int(first.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert len(first.split(b"\r\n\r\n", 1)[1]) == length
