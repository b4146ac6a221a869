"""`inferlab load`: from a URL, headers and files to the requests to send; everything is checked before any work."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from inferlab.errors import UserError
from inferlab.load.block import HttpRequests

MOST_BODY_BYTES = 256 * 2**20
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What a header's name may be (RFC 9110, 5.6.2)."""
FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def requests_of(url: str, header_texts: Iterable[str], body_files: Sequence[Path]) -> HttpRequests:
    """GET of the URL, or POST of each file in turn where there are any. Raises UserError."""
    headers = _headers(header_texts)
    if not body_files:
        return HttpRequests(_url(url), headers, (b"",), "GET", "http1")
    bodies = tuple(map(_body, body_files))
    if sum(map(len, bodies)) > MOST_BODY_BYTES:
        raise UserError(f"the --body files have {sum(map(len, bodies)):,} bytes; {MOST_BODY_BYTES:,} are allowed")
    if "content-type" not in map(str.lower, headers):
        kinds = {"application/json" if path.suffix == ".json" else "application/octet-stream" for path in body_files}
        if len(kinds) > 1:
            raise UserError("some --body files end in .json and some do not; give --header 'Content-Type: …' for all")
        headers["Content-Type"] = kinds.pop()
    return HttpRequests(_url(url), headers, bodies, "POST", "http1")


def _url(url: str) -> str:
    allowed = "allowed: http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH"
    if any(character.isspace() or not character.isprintable() for character in url):
        raise UserError(f"URL {url!r} holds a space or a control character; {allowed}")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UserError(f"URL {url!r} is not allowed: {error}; {allowed}") from None
    if not good:
        hint = "" if "://" in url else f" Did you mean {'http://' + url!r}?"
        raise UserError(f"URL {url!r} is not allowed; {allowed}.{hint}")
    return url


def _headers(texts: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not TOKEN.fullmatch(name) or not value.strip().isprintable():
            raise UserError(f"--header is {text!r}; allowed: 'Name: value' without control characters")
        if name.lower() in FRAMING:
            raise UserError(f"--header is {text!r}; the client sets {name} itself")
        if name.lower() in map(str.lower, headers):
            raise UserError(f"--header {name} is given twice")
        headers[name] = value.strip()
    return headers


def _body(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"--body is {str(path)!r}; there is no such file")
    if path.stat().st_size > MOST_BODY_BYTES:
        raise UserError(f"--body {path} has {path.stat().st_size:,} bytes; {MOST_BODY_BYTES:,} are allowed")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"--body {path} cannot be read: {error.strerror}") from None
