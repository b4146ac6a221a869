"""The path `fastapi-plain`: an ordinary handler, as most people write it, to measure what that costs.

Its variants have one thing changed each, so that their latency tells what that thing costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from inferlab.errors import UserError
from inferlab.serve.openinference import HEADER_LENGTH, InferRequest, decode_request, encode_response
from inferlab.serve.plain_account import AccountedRoute, AccountedSession

if TYPE_CHECKING:
    from inferlab.models.base import Model
    from inferlab.records import PlainHandler
    from inferlab.serve.session import Session
    from inferlab.serve.tensors import Tensors

Endpoint = Callable[..., Any]
"""What FastAPI calls for a request."""


def create_plain_app(model: Model, session: Session, handler: PlainHandler = "") -> FastAPI:
    """POST /predict: a pydantic body in, a dict out, one request a run in FastAPI's thread pool.

    `handler` names what is changed, if anything: `no-validation` reads the body with orjson and believes what it says;
    `no-encoder` answers bytes that orjson wrote instead of a dict; `no-thread-pool` is an async function, which runs
    the model in the event loop; `binary` takes and gives the binary tensors of the Open Inference Protocol, and so has
    neither validation nor encoder; `response-model` declares the pydantic class of its answers; `middleware` has one.
    """
    app = FastAPI()
    if handler == "middleware":
        app.add_middleware(ProcessTime)
    app.router.add_api_route(
        "/predict",
        ENDPOINTS.get(handler, _plain)(model, AccountedSession(session)),
        methods=["POST"],
        response_model=model.plain_response() if handler == "response-model" else None,
        route_class_override=AccountedRoute,
    )
    return app


class ProcessTime(BaseHTTPMiddleware):
    """The middleware of FastAPI's tutorial: a header that says how long the answer took."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        begun_s = time.perf_counter()
        response = await call_next(request)
        response.headers["X-Process-Time"] = str(time.perf_counter() - begun_s)
        return response


def _plain(model: Model, session: AccountedSession) -> Endpoint:
    def predict(body: Any) -> dict[str, Any]:
        return model.plain_answer(session.run(_decoded(model, body)))

    return _taking_body(model, predict)


def _without_thread_pool(model: Model, session: AccountedSession) -> Endpoint:
    async def predict(body: Any) -> dict[str, Any]:
        return model.plain_answer(session.run(_decoded(model, body)))

    return _taking_body(model, predict)


def _without_encoder(model: Model, session: AccountedSession) -> Endpoint:
    def predict(body: Any) -> Response:
        answer = model.plain_answer(session.run(_decoded(model, body)))
        return Response(orjson.dumps(answer), media_type="application/json")

    return _taking_body(model, predict)


def _without_validation(model: Model, session: AccountedSession) -> Endpoint:
    body_of = model.plain_body()

    def answer(content: bytes) -> dict[str, Any]:
        try:
            fields = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise HTTPException(422, str(error)) from None
        return model.plain_answer(session.run(_decoded(model, body_of.model_construct(**fields))))

    async def predict(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(answer, await request.body())

    return predict


def _binary(model: Model, session: AccountedSession) -> Endpoint:
    wanted = InferRequest({}, all_binary=True)

    def answer(content: bytes, header_length: str | None) -> Response:
        try:
            inputs = decode_request(content, header_length, model.inputs).inputs
            model.check_inputs(inputs)
        except (UserError, ValueError) as error:
            raise HTTPException(422, str(error)) from None
        body, headers = encode_response(model.name, session.run(inputs), wanted, {})
        return Response(body, headers=headers)

    async def predict(request: Request) -> Response:
        return await run_in_threadpool(answer, await request.body(), request.headers.get(HEADER_LENGTH))

    return predict


def _taking_body(model: Model, predict: Endpoint) -> Endpoint:
    """Which body is known only here; FastAPI reads it from the annotations."""
    predict.__annotations__ = {"body": model.plain_body()}
    return predict


def _decoded(model: Model, body: Any) -> Tensors:
    try:
        return model.plain_decode(body)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


ENDPOINTS: dict[PlainHandler, Callable[[Model, AccountedSession], Endpoint]] = {
    "no-validation": _without_validation,
    "no-encoder": _without_encoder,
    "no-thread-pool": _without_thread_pool,
    "binary": _binary,
}
"""Those whose function differs."""
