"""The ordinary handler over real sockets, in its own process; and its lock, in this one."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inferlab.serve.plain_app import create_plain_app
from inferlab.serve.process import ServerProcess
from serve.sessions import CORE, NOOP, FakeFactory, FakeSession


def test_json_goes_in_and_comes_out() -> None:
    with ServerProcess("fastapi-plain", FakeFactory(), NOOP, "none", 8, (CORE,)) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

        def predict(body: object) -> tuple[int, Any]:
            client.request("POST", "/predict", json.dumps(body), {"Content-Type": "application/json"})
            response = client.getresponse()
            return response.status, json.loads(response.read())

        assert predict({"input_ids": [3] * 128}) == (200, {"embedding": [3.0] * 384})
        assert predict({"input_ids": ["x"]})[0] == 422
        assert predict({"input_ids": [3] * 100_000})[0] == 422
        assert predict([])[0] == 422
        client.close()


@pytest.mark.parametrize(("thread_safe", "most_at_once"), [(False, 1), (True, 4)])
def test_sessions_that_are_not_thread_safe_run_one_at_a_time(thread_safe: bool, most_at_once: int) -> None:
    session = FakeSession(delay_s=0.05, thread_safe=thread_safe)
    app = create_plain_app(NOOP, session)
    [predict] = [route.endpoint for route in app.routes if getattr(route, "path", "") == "/predict"]  # type: ignore[attr-defined]
    body = NOOP.plain_body().model_validate({"input_ids": [1] * 128})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(predict, [body] * 4))
    assert [len(answer["embedding"]) for answer in answers] == [384] * 4
    assert session.most_at_once <= most_at_once
    assert (session.most_at_once == 1) == (not thread_safe)
