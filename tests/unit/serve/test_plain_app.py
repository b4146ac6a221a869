"""Every ordinary handler over real sockets, in its own process; and its lock, in this one."""

import contextvars
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from inferlab.load.block import Block, ClosedLoad
from inferlab.load.process import LoadProcess
from inferlab.records import PlainHandler
from inferlab.serve.openinference import HEADER_LENGTH, decode_response, encode_request
from inferlab.serve.plain_account import ACCOUNT, Account
from inferlab.serve.plain_app import create_plain_app
from inferlab.serve.process import ServerProcess
from inferlab.studies.breakdown import HANDLERS
from serve.sessions import CORE, NOOP, FakeFactory, FakeSession, payload

ALL: tuple[PlainHandler, ...] = ("", *HANDLERS)
JSON = tuple(handler for handler in ALL if handler != "binary")
Answered = tuple[int, dict[str, str], bytes]


class Client:
    """One connection to a handler; `post` gives status, headers (names in lower case) and body."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, body: bytes, headers: dict[str, str]) -> Answered:
        self._connection.request("POST", "/predict", body, headers)
        response = self._connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    def predict(self, body: object) -> tuple[int, Any]:
        status, _, answer = self.post(json.dumps(body).encode(), {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def served(handler: PlainHandler, delay_s: float = 0.0) -> Iterator[tuple[ServerProcess, Client]]:
    server = ServerProcess("fastapi-plain", FakeFactory(delay_s), NOOP, "none", 8, (CORE,), handler=handler)
    with server:
        client = Client(server.port)
        yield server, client
        client.close()


@pytest.mark.parametrize("handler", JSON)
def test_json_goes_in_and_comes_out(handler: PlainHandler) -> None:
    with served(handler) as (_, client):
        assert client.predict({"input_ids": [3] * 128}) == (200, {"embedding": [3.0] * 384})
        assert client.predict({"input_ids": [3] * 1_000})[0] == 422
        assert client.post(b"{", {"Content-Type": "application/json"})[0] == 422
        if handler != "no-validation":
            assert client.predict({"input_ids": ["x"]})[0] == 422
            assert client.predict({"input_ids": [3] * 100_000})[0] == 422
            assert client.predict([])[0] == 422


def test_without_validation_a_number_of_the_wrong_type_is_believed() -> None:
    """Which is what the ingredient is for."""
    wrong = {"input_ids": [3.7] * 128}
    with served("no-validation") as (_, believing), served("") as (_, strict):
        assert believing.predict(wrong) == (200, {"embedding": [3.0] * 384})
        assert strict.predict(wrong)[0] == 422


def test_binary_tensors_go_in_and_come_out() -> None:
    with served("binary") as (_, client):
        body, headers = encode_request(payload(5))
        status, told, answer = client.post(body, headers)
        assert status == 200
        outputs = decode_response(answer, told[HEADER_LENGTH.lower()]).outputs
        assert outputs["embedding"].tolist() == [[5.0] * 384]
        assert client.post(body[:-8], headers)[0] == 422
        assert client.post(b"{}", {"Content-Type": "application/json"})[0] == 422


@pytest.mark.parametrize("handler", ALL)
def test_a_load_client_is_answered_by_every_handler_and_told_where_the_time_went(handler: PlainHandler) -> None:
    delay_s = 0.004
    with LoadProcess((CORE,)) as load, served(handler, delay_s) as (server, _):
        result = load.run(server.requests([payload(1), payload(2)]), Block(ClosedLoad(3), 0.0, 10.0, 10.0, 30))
    columns = result.columns
    assert result.first_error == ""
    assert set(columns["batch_size"]) == {1}
    assert (columns["infer_s"] >= delay_s).all()
    assert (columns["batch_s"] == 0).all()
    assert (columns["parse_s"] > 0).all() and (columns["serialize_s"] > 0).all()
    account_s = sum(columns[name] for name in ("parse_s", "queue_s", "batch_s", "infer_s", "serialize_s"))
    tolerance_s = 5e-6  # the header has whole microseconds
    assert (account_s <= columns["done_s"] - columns["sent_s"] + tolerance_s).all()


def test_only_the_handler_with_a_middleware_sends_its_header() -> None:
    body = json.dumps({"input_ids": [3] * 128}).encode()
    found = {}
    for handler in ("", "middleware"):
        with served(handler) as (_, client):  # type: ignore[arg-type]
            found[handler] = client.post(body, {"Content-Type": "application/json"})[1]
    assert "x-process-time" not in found[""]
    assert float(found["middleware"]["x-process-time"]) > 0
    assert all("server-timing" in headers for headers in found.values())


def test_a_refused_body_has_no_account() -> None:
    with served("") as (_, client):
        status, headers, _ = client.post(b"[]", {"Content-Type": "application/json"})
    assert status == 422
    assert "server-timing" not in headers


def test_only_the_handler_that_declares_its_answer_has_its_schema() -> None:
    def schema(handler: PlainHandler) -> Any:
        paths = create_plain_app(NOOP, FakeSession(), handler).openapi()["paths"]
        return paths["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]

    assert schema("") == {}
    assert schema("response-model") == {"$ref": "#/components/schemas/EmbeddingAnswer"}


def test_other_paths_have_no_variants() -> None:
    for path in ("direct", "fastapi"):
        with pytest.raises(ValueError, match=f"handler is 'binary'; on the path {path} there are no variants"):
            ServerProcess(path, FakeFactory(), NOOP, "none", 8, (CORE,), handler="binary")  # type: ignore[arg-type]


@pytest.mark.parametrize(("thread_safe", "most_at_once"), [(False, 1), (True, 4)])
def test_sessions_that_are_not_thread_safe_run_one_at_a_time(thread_safe: bool, most_at_once: int) -> None:
    session = FakeSession(delay_s=0.05, thread_safe=thread_safe)
    app = create_plain_app(NOOP, session)
    [predict] = [route.endpoint for route in app.routes if getattr(route, "path", "") == "/predict"]  # type: ignore[attr-defined]
    body = NOOP.plain_body().model_validate({"input_ids": [1] * 128})

    def answer(number: int) -> tuple[Account, Any]:
        account = Account()
        ACCOUNT.set(account)
        return account, predict(body)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: contextvars.copy_context().run(answer, number), range(4)))
    assert [len(answered["embedding"]) for _, answered in found] == [384] * 4
    assert session.most_at_once <= most_at_once
    assert (session.most_at_once == 1) == (not thread_safe)
    assert all(account.ready_s <= account.begun_s < account.ran_s for account, _ in found)
