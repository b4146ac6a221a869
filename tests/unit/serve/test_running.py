"""Stopping, overload, deadlines and clients that go away, over real sockets."""

import http.client
import json
import socket
import threading
import time

import pytest

from inferlab.errors import ArtifactError
from inferlab.serve.openinference import encode_request
from serve.endpoint import Endpoint, deployment, endpoint
from serve.sessions import DamagedFactory, FakeFactory, payload

INFER = "/v2/models/noop/infer"
GOOD, GOOD_HEADERS = encode_request(payload(1))


class Caller(threading.Thread):
    """One request in a thread of its own."""

    def __init__(self, at: Endpoint, headers: dict[str, str] | None = None, value: int = 1) -> None:
        super().__init__()
        self._at = at
        self._body, own = encode_request(payload(value))
        self._headers = {**own, **(headers or {})}
        self.status = 0
        self.answer_headers: dict[str, str] = {}
        self.body = b""
        self.start()

    def run(self) -> None:
        self.status, headers, self.body = self._at.ask("POST", INFER, self._body, self._headers)
        self.answer_headers = {name.lower(): value for name, value in headers.items()}


def until(condition: object, patience_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_while_it_drains_accepted_requests_finish_and_new_ones_get_503() -> None:
    served = deployment(factory=FakeFactory(delay_s=0.4))
    with endpoint(served, linger_s=1.0) as at:
        accepted = [Caller(at, value=value) for value in range(3)]
        until(lambda: served.batcher.waiting + served.batcher.running == 3)
        at.begin_to_stop()
        until(lambda: at.server.draining)
        status, headers, body = at.ask("POST", INFER, GOOD, GOOD_HEADERS)
        assert status == 503
        assert headers["Retry-After"] == "1"
        assert headers["Connection"] == "close"
        assert json.loads(body) == {"error": "the server is shutting down"}
        assert at.ask("GET", "/v2/health/ready")[0] == 503
        assert at.ask("GET", "/v2/health/live")[0] == 200
        for caller in accepted:
            caller.join()
        assert [caller.status for caller in accepted] == [200] * 3
    assert at.drained == [True]


def test_what_takes_longer_than_the_grace_time_is_told_and_the_server_ends() -> None:
    served = deployment(factory=FakeFactory(delay_s=5.0))
    with endpoint(served, grace_s=0.2) as at:
        caller = Caller(at)
        until(lambda: served.batcher.running)
        at.begin_to_stop()
    caller.join()
    assert at.drained == [False]
    assert caller.status == 503


def test_a_replica_that_does_not_load_is_raised_to_whoever_starts_the_server() -> None:
    with pytest.raises(ArtifactError, match=r"model\.xml is damaged"), endpoint(deployment(factory=DamagedFactory())):
        raise AssertionError("it started")


def test_beyond_the_queue_limit_503_says_when_to_come_back_and_the_rest_is_answered() -> None:
    served = deployment(factory=FakeFactory(delay_s=0.5), queue_limit=4)
    with endpoint(served) as at:
        first = Caller(at)
        until(lambda: served.batcher.running)
        callers = [Caller(at) for _ in range(12)]
        for caller in (first, *callers):
            caller.join()
        statuses = [caller.status for caller in callers]
        assert first.status == 200
        assert statuses.count(200) == 4
        assert statuses.count(503) == 8
        refused = next(caller for caller in callers if caller.status == 503)
        assert int(refused.answer_headers["retry-after"]) >= 1
        assert "4 items wait already" in json.loads(refused.body)["error"]
        assert served.meter.statuses == {200: 5, 503: 8}


@pytest.mark.parametrize("by_header", [True, False])
def test_a_deadline_is_504_and_the_model_never_sees_the_request(by_header: bool) -> None:
    served = deployment(factory=FakeFactory(delay_s=0.6), timeout_s=30.0 if by_header else 0.2)
    with endpoint(served) as at:
        first = Caller(at, {"Request-Timeout-Ms": "30000"}, value=100)
        until(lambda: served.batcher.running)
        begun_s = time.monotonic()
        late = Caller(at, {"Request-Timeout-Ms": "200"} if by_header else {}, value=500)
        late.join()
        assert late.status == 504
        assert time.monotonic() - begun_s < 0.55
        assert "deadline" in json.loads(late.body)["error"]
        first.join()
        assert first.status == 200
        next_one = Caller(at, {"Request-Timeout-Ms": "30000"}, value=7)
        next_one.join()
        assert served.meter.batch_sizes()[0][0] == ("1", 2.0)


def asked(timeout: object) -> bytes:
    """A request as JSON with Triton's timeout."""
    body, _ = encode_request(payload(1), binary=False, binary_outputs=False)
    return json.dumps({**json.loads(body), "parameters": {"timeout": timeout}}).encode()


@pytest.mark.parametrize(("timeout_us", "header_ms"), [(200_000, None), (200_000, "30000"), (30_000_000, "200")])
def test_the_earlier_of_the_timeouts_in_parameters_and_header_is_the_deadline(
    timeout_us: int, header_ms: str | None
) -> None:
    served = deployment(factory=FakeFactory(delay_s=0.6))
    with endpoint(served) as at:
        first = Caller(at, value=100)
        until(lambda: served.batcher.running)
        headers = {} if header_ms is None else {"Request-Timeout-Ms": header_ms}
        status, _, body = at.ask("POST", INFER, asked(timeout_us), headers)
        assert status == 504
        assert "deadline" in json.loads(body)["error"]
        first.join()
        assert served.meter.statuses == {200: 1, 504: 1}
        assert served.meter.batch_sizes()[0][0] == ("1", 1.0)


@pytest.mark.parametrize("path", [INFER, "/invocations"])
def test_a_timeout_in_parameters_of_0_is_none_and_of_a_minute_does_no_harm(path: str) -> None:
    with endpoint(deployment()) as at:
        for timeout_us in (0, 60_000_000):
            assert at.ask("POST", path, asked(timeout_us), {"Content-Type": "application/json"})[0] == 200


@pytest.mark.parametrize("timeout", [-1, 0.5, True, "1000", [1], 86_400_000_001])
def test_a_timeout_in_parameters_that_is_none_is_named(timeout: object) -> None:
    with endpoint(deployment()) as at:
        status, _, body = at.ask("POST", INFER, asked(timeout))
        assert status == 400
        assert json.loads(body)["error"].startswith("parameters.timeout: ")


@pytest.mark.parametrize("timeout", ["0", "-5", "soon", "nan", "inf", "1e30"])
def test_a_timeout_that_is_none_is_the_clients_error(timeout: str) -> None:
    with endpoint(deployment()) as at:
        status, _, body = at.ask("POST", INFER, GOOD, {**GOOD_HEADERS, "Request-Timeout-Ms": timeout})
        assert status == 400
        assert "Request-Timeout-Ms" in json.loads(body)["error"]


def test_the_request_of_a_client_that_went_away_is_never_run() -> None:
    served = deployment(factory=FakeFactory(delay_s=0.5))
    with endpoint(served) as at:
        first = Caller(at)
        until(lambda: served.batcher.running)
        client = http.client.HTTPConnection("127.0.0.1", at.port)
        client.request("POST", INFER, GOOD, GOOD_HEADERS)
        until(lambda: served.batcher.waiting == 1)
        client.sock.shutdown(socket.SHUT_RDWR)
        client.close()
        first.join()
        until(lambda: served.batcher.waiting == 0)
        until(lambda: served.meter.statuses[499] == 1)
        assert served.meter.statuses[200] == 1


def test_ready_tells_the_truth_while_a_replica_is_replaced() -> None:
    served = deployment(factory=FakeFactory(fails_on=13))
    with endpoint(served) as at:
        assert at.ask("GET", "/v2/health/ready")[0] == 200
        failing = Caller(at, value=13)
        failing.join()
        assert failing.status == 500
        assert at.ask("GET", "/v2/health/ready")[0] == 503
        assert at.ask("GET", "/v2/models/noop/ready")[0] == 503
        assert at.ask("GET", "/ping")[0] == 503
        assert at.ask_json("POST", "/v2/repository/index")[1][0]["state"] == "UNAVAILABLE"
        until(lambda: at.ask("GET", "/v2/health/ready")[0] == 200)
        assert at.ask("POST", INFER, GOOD, GOOD_HEADERS)[0] == 200


def test_a_body_that_never_ends_does_not_keep_the_server() -> None:
    with endpoint(deployment(), grace_s=1.0) as at, socket.create_connection(("127.0.0.1", at.port)) as client:
        client.sendall(f"POST {INFER} HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{{".encode())
        until(lambda: at.ask("GET", "/v2/health/live")[0] == 200)
        begun_s = time.monotonic()
        at.begin_to_stop()
        until(lambda: bool(at.drained))
        assert time.monotonic() - begun_s < 5
    assert at.drained == [True]


def test_a_body_that_does_not_come_before_the_deadline_is_408() -> None:
    with endpoint(deployment()) as at, socket.create_connection(("127.0.0.1", at.port), timeout=30) as client:
        head = f"POST {INFER} HTTP/1.1\r\nHost: here\r\nRequest-Timeout-Ms: 200\r\nContent-Length: 100\r\n\r\n{{"
        client.sendall(head.encode())
        answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not come before the deadline" in answer


def test_a_grace_time_shorter_than_the_linger_time_is_enough_where_nothing_runs() -> None:
    with endpoint(deployment(), grace_s=0.1, linger_s=0.5) as at:
        assert at.ask("POST", INFER, GOOD, GOOD_HEADERS)[0] == 200
    assert at.drained == [True]
