from pathlib import Path

import pytest

from inferlab import load_requests
from inferlab.errors import UserError
from inferlab.load_requests import requests_of

URL = "http://127.0.0.1:8000/predict?x=1"


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(name.encode())
    return [folder / name for name in names]


def test_without_a_body_it_is_a_get() -> None:
    requests = requests_of(URL, ["X-One:  1 ", "Accept: a/b"], [])
    assert (requests.url, requests.method, requests.bodies) == (URL, "GET", (b"",))
    assert requests.headers == {"X-One": "1", "Accept": "a/b"}


def test_bodies_are_posted_with_the_type_of_their_names(tmp_path: Path) -> None:
    requests = requests_of(URL, [], files(tmp_path, "a.json", "b.json"))
    assert (requests.method, requests.bodies) == ("POST", (b"a.json", b"b.json"))
    assert requests.headers == {"Content-Type": "application/json"}
    assert requests_of(URL, [], files(tmp_path, "c.bin")).headers == {"Content-Type": "application/octet-stream"}
    mixed = files(tmp_path, "a.json", "c.bin")
    assert requests_of(URL, ["content-type: x/y"], mixed).headers == {"content-type": "x/y"}
    with pytest.raises(UserError, match="--header 'Content-Type"):
        requests_of(URL, [], mixed)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://h/", "http://", "http:///x", "http://h:99999/", "http://h:0/", "http://h/a b", "",
            "http://[::1/", "http://h/\n"],
)  # fmt: skip
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="allowed: http://HOST"):
        requests_of(url, [], [])


def test_a_forgotten_scheme_is_guessed() -> None:
    with pytest.raises(UserError, match="Did you mean 'http://localhost:8000/x'"):
        requests_of("localhost:8000/x", [], [])


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (["X-One"], "'Name: value'"),
        (["X One: 1"], "'Name: value'"),
        ([": 1"], "'Name: value'"),
        (["X: a\r\nY: b"], "without control characters"),
        (["X: 1", "x: 2"], "given twice"),
        (["Content-Length: 3"], "sets Content-Length itself"),
    ],
)
def test_a_wrong_header_is_refused(headers: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        requests_of(URL, headers, [])


def test_a_body_must_be_a_file_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such file"):
        requests_of(URL, [], [tmp_path])
    monkeypatch.setattr(load_requests, "MOST_BODY_BYTES", 7)
    with pytest.raises(UserError, match="the --body files have 8 bytes; 7 are allowed"):
        requests_of(URL, [], files(tmp_path, "a.js", "x.js"))
    with pytest.raises(UserError, match="8 bytes; 7 are allowed"):
        requests_of(URL, [], files(tmp_path, "abc.json"))
