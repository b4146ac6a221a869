"""Who may ask: an optional bearer token on everything but health."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.errors import UserError
from inferlab.serve.answers import json_reply
from inferlab.serve.bodies import header

if TYPE_CHECKING:
    from starlette.types import Scope

    from inferlab.serve.answers import Reply

TOKEN_VARIABLE = "INFERLAB_TOKEN"
LEAST_CHARACTERS = 16
OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready", "/ping"})
CHALLENGE = (b"www-authenticate", b"Bearer")


class Access:
    """Compares tokens in constant time; without a token everybody may ask."""

    def __init__(self, token: str | None, open_paths: frozenset[str] = frozenset()) -> None:
        self._expected = None if token is None else token.encode()
        self._open_paths = OPEN_PATHS | open_paths

    @property
    def is_open(self) -> bool:
        """Whether no token is asked for."""
        return self._expected is None

    def refusal(self, scope: Scope) -> Reply | None:
        """The 401 for a request without the token, None where it may pass."""
        if self._expected is None or scope["path"] in self._open_paths:
            return None
        scheme, _, found = (header(scope, b"authorization") or b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(found, self._expected):
            return None
        return json_reply({"error": "Authorization: a bearer token is expected"}, 401, (CHALLENGE,))


def read_token(path: Path | None) -> str | None:
    """The token in a file, or else in INFERLAB_TOKEN, or None. Raises UserError where it is no token."""
    if path is not None:
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--token-file {path} cannot be read: {error}") from None
        source = f"--token-file {path}"
    elif TOKEN_VARIABLE in os.environ:
        token, source = os.environ[TOKEN_VARIABLE].strip(), TOKEN_VARIABLE
    else:
        return None
    if len(token) < LEAST_CHARACTERS or not token.isascii() or any(character.isspace() for character in token):
        raise UserError(f"{source} holds no token; expected at least {LEAST_CHARACTERS} ASCII characters and no space")
    return token
