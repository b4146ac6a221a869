"""A server whose replicas are being loaded, over real sockets."""

import json
import threading
from pathlib import Path

import pytest

from inferlab.errors import ArtifactError, MissingPackageError
from serve.endpoint import deployment, endpoint
from serve.sessions import DamagedFactory, WaitingFactory
from serve.test_running import GOOD, GOOD_HEADERS, INFER, Caller, until


def test_while_replicas_load_the_server_lives_is_not_ready_and_infer_is_503(tmp_path: Path) -> None:
    quick, slow = deployment("quick"), deployment("noop", WaitingFactory(str(tmp_path / "go")))
    with endpoint(quick, slow, await_loaded=False) as at:
        assert at.ask("GET", "/v2/health/live")[0] == 200
        for path in ("/v2/health/ready", "/v2/models/noop/ready", "/ping"):
            assert at.ask("GET", path)[0] == 503
        status, headers, body = at.ask("POST", INFER, GOOD, GOOD_HEADERS)
        assert status == 503
        assert headers["Retry-After"] == "1"
        assert json.loads(body) == {"error": "the model is being loaded"}
        until(lambda: at.ask("GET", "/v2/models/quick/ready")[0] == 200)
        assert at.ask("POST", "/v2/models/quick/infer", GOOD, GOOD_HEADERS)[0] == 200
        assert at.ask("GET", "/v2/health/ready")[0] == 503
        (tmp_path / "go").touch()
        until(lambda: at.ask("GET", "/v2/health/ready")[0] == 200)
        assert at.ask("POST", INFER, GOOD, GOOD_HEADERS)[0] == 200
        assert slow.meter.statuses == {503: 1, 200: 1}
    assert at.drained == [True]


def test_a_server_that_is_stopped_while_it_loads_ends_and_answers_what_it_accepted(tmp_path: Path) -> None:
    quick, slow = deployment("noop"), deployment("slow", WaitingFactory(str(tmp_path / "never")))
    with endpoint(quick, slow, await_loaded=False) as at:
        until(lambda: quick.batcher.accepts)
        accepted = Caller(at)
        until(lambda: accepted.status)
    assert accepted.status == 200
    assert at.drained == [True]
    assert not quick.batcher.accepts


def test_a_replica_that_does_not_load_ends_a_server_that_answers(tmp_path: Path) -> None:
    served = deployment(factory=WaitingFactory(str(tmp_path / "go"), DamagedFactory()))
    with (
        pytest.raises(ArtifactError, match=r"model\.xml is damaged"),
        endpoint(served, await_loaded=False) as at,
    ):
        assert at.ask("GET", "/v2/health/live")[0] == 200
        (tmp_path / "go").touch()
        until(lambda: not at.loop.is_running())


def test_while_a_deployment_prepares_the_server_answers() -> None:
    prepared = threading.Event()
    with endpoint(deployment(prepare=lambda: prepared.wait() and None), await_loaded=False) as at:
        assert at.ask("GET", "/v2/health/live")[0] == 200
        assert at.ask("GET", "/v2/health/ready")[0] == 503
        prepared.set()
        until(lambda: at.ask("GET", "/v2/health/ready")[0] == 200)


def test_a_deployment_that_lacks_what_texts_need_still_takes_tensors(caplog: pytest.LogCaptureFixture) -> None:
    def prepare() -> None:
        raise MissingPackageError("weights", "the tokenizer", "make it so")

    with endpoint(deployment(prepare=prepare)) as at:
        assert at.ask("POST", INFER, GOOD, GOOD_HEADERS)[0] == 200
    assert "/predict/noop cannot take everything that it describes" in caplog.text
    assert "the tokenizer" in caplog.text
