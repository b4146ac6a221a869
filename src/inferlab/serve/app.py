"""inferlab's server: the Open Inference Protocol V2 over FastAPI, in front of batchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic as clock
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inferlab import __version__
from inferlab.errors import InferlabError, UserError, near_match
from inferlab.serve.batcher import Batcher, ClosedError
from inferlab.serve.openinference import body_limit, decode_request, encode_response
from inferlab.serve.tensors import DATATYPES, Spec
from inferlab.serve.timings import server_timing

HEADER_LENGTH = b"inference-header-content-length"


@dataclass(frozen=True)
class Deployment:
    """A model behind a batcher, under the name that is in its URL."""

    name: str
    inputs: Sequence[Spec]
    outputs: Sequence[Spec]
    batcher: Batcher

    @property
    def body_limit_bytes(self) -> int:
        """Bodies beyond this are refused before they are read to the end."""
        return body_limit(self.inputs, self.batcher.max_batch_size)

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata; -1 stands for the batch dimension."""
        return {
            "name": self.name,
            "versions": ["1"],
            "platform": "inferlab",
            "inputs": [_tensor_metadata(spec) for spec in self.inputs],
            "outputs": [_tensor_metadata(spec) for spec in self.outputs],
        }


def create_app(*deployments: Deployment) -> FastAPI:
    """An app that serves these deployments; their batchers are started and closed by whoever made them."""
    app = FastAPI(title="inferlab", version=__version__)
    served = {deployment.name: deployment for deployment in deployments}

    def find(name: str) -> Deployment:
        if name not in served:
            near = near_match(name, served)
            hint = f"; did you mean {near!r}?" if near else ""
            raise HTTPException(404, f"unknown model {name[:80]!r}; known: {', '.join(served)}{hint}")
        return served[name]

    @app.get("/v2")
    async def server_metadata() -> dict[str, Any]:
        return {"name": "inferlab", "version": __version__, "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        return _ready(all(deployment.batcher.accepts for deployment in deployments))

    @app.get("/v2/models/{model}")
    async def model_metadata(model: str) -> dict[str, Any]:
        return find(model).metadata()

    @app.get("/v2/models/{model}/ready")
    async def model_ready(model: str) -> Response:
        return _ready(find(model).batcher.accepts)

    async def infer(request: Request) -> Response:
        return await _infer(find(request.path_params["model"]), request)

    # Starlette's route, not FastAPI's: parameters and responses of the hot path need no declarations to be solved.
    app.add_route("/v2/models/{model}/infer", infer, methods=["POST"])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(ClosedError, _closed_error)
    app.add_exception_handler(InferlabError, _server_error)
    app.add_exception_handler(Exception, _unforeseen_error)
    return app


class RawResponse(Response):
    """A body and headers that are bytes already."""

    def __init__(self, body: bytes, headers: list[tuple[bytes, bytes]], status_code: int = 200) -> None:
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


async def _infer(deployment: Deployment, request: Request) -> Response:
    body = await _read_body(request, deployment.body_limit_bytes)
    started_s = clock()
    decoded = decode_request(body, _header_length(request.scope), deployment.inputs)
    parsed_s = clock()
    answer = await deployment.batcher.submit(decoded.inputs)
    answered_s = clock()
    encoded, headers = encode_response(deployment.name, answer.outputs, decoded)
    timings = answer.timings._replace(parse_s=parsed_s - started_s, serialize_s=clock() - answered_s)
    raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw_headers.append((b"server-timing", server_timing(timings)))
    return RawResponse(encoded, raw_headers)


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    """The body, read no further than the limit. Raises HTTPException 413 beyond it."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the client went away in the middle of its body")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise HTTPException(413, f"the body is longer than {limit_bytes} bytes, the most that this model takes")
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def _header_length(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == HEADER_LENGTH:
            text: str = value.decode("latin-1")
            return text
    return None


def _tensor_metadata(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": [-1, *spec.shape]}


def _ready(ready: bool) -> Response:
    return _json({"ready": ready}, 200 if ready else 503)


def _json(content: dict[str, Any], status_code: int) -> Response:
    return RawResponse(orjson.dumps(content), [(b"content-type", b"application/json")], status_code)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


async def _user_error(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


async def _closed_error(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 503)


async def _server_error(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 500)


async def _unforeseen_error(request: Request, error: Exception) -> Response:
    return _json({"error": "internal error; the server's log has its traceback"}, 500)
