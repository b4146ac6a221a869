import logging
from pathlib import Path

import pytest

from inferlab.errors import UserError
from inferlab.serve.access import TOKEN_VARIABLE, Access, read_token
from serve.endpoint import deployment, endpoint, metrics

TOKEN = "correct-horse-battery"


def test_everything_but_health_asks_for_the_token(caplog: pytest.LogCaptureFixture) -> None:
    ids = {"input_ids": [1] * 128}
    with caplog.at_level(logging.DEBUG), endpoint(deployment(), token=TOKEN) as at:
        for path in ("/v2/health/live", "/v2/health/ready", "/ping"):
            assert at.ask("GET", path)[0] == 200
        for method, path in (
            ("GET", "/v2"),
            ("GET", "/metrics"),
            ("GET", "/docs"),
            ("GET", "/openapi.json"),
            ("POST", "/predict/noop"),
            ("POST", "/v2/models/noop/infer"),
            ("POST", "/invocations"),
            ("POST", "/v2/health/ready/"),
        ):
            status, headers, _ = at.ask(method, path, b"{}")
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        for wrong in (TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer "):
            assert at.ask_json("POST", "/predict/noop", ids, {"Authorization": wrong})[0] == 401
        assert at.ask_json("POST", "/predict/noop", ids, {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert TOKEN not in caplog.text


def test_refusals_are_counted_where_they_belong_and_no_client_makes_labels() -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with endpoint(deployment(), token=TOKEN) as at:
        for path in (
            "/predict/noop",
            "/v2/models/noop/infer",
            "/invocations",
            "/predict/a",
            "/v2/models/b/infer",
            "/c",
        ):
            assert at.ask("POST", path, b"{}")[0] == 401
        for path in ("/predict/a", "/predict/b", "/v2/models/c/infer", "/v2/models/noop/versions/7/infer", "/d"):
            assert at.ask("POST", path, b"{}", bearer)[0] == 404
        assert at.ask("GET", "/predict/noop", headers=bearer)[0] == 405
        found = metrics(at, bearer)
        counts = {key: value for key, value in found.items() if key.startswith("inferlab_requests_total")}
        assert counts == {
            'inferlab_requests_total{deployment="noop",status="401"}': 3,
            'inferlab_requests_total{deployment="noop",status="405"}': 1,
            'inferlab_requests_total{deployment="_none",status="401"}': 3,
            'inferlab_requests_total{deployment="_none",status="404"}': 5,
        }


def test_without_a_token_everybody_may_ask() -> None:
    assert Access(None).refusal({"path": "/v2", "headers": []}) is None


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, f" {TOKEN}\n")
    assert read_token(None) == TOKEN
    (tmp_path / "token").write_text("another-token-of-more-than-16\n")
    assert read_token(tmp_path / "token") == "another-token-of-more-than-16"


@pytest.mark.parametrize("content", ["", "short", "with space in the middle", "tökén-of-enough-characters"])
def test_what_is_no_token_is_refused_and_not_shown(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="--token-file") as error:
        read_token(tmp_path / "token")
    assert not content or content not in str(error.value)
    monkeypatch.setenv(TOKEN_VARIABLE, content)
    with pytest.raises(UserError, match=TOKEN_VARIABLE):
        read_token(None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no-such-file cannot be read"):
        read_token(tmp_path / "no-such-file")


def test_a_head_without_the_token_is_refused_and_the_next_request_gets_its_own_answer() -> None:
    with endpoint(deployment(), token=TOKEN) as at:
        client = at.client()
        for method in ("HEAD", "GET", "HEAD"):
            client.request(method, "/v2")
            response = client.getresponse()
            content = response.read()
            assert (response.status, bool(content)) == (401, method == "GET")
        client.close()
