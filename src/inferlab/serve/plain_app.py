"""The path `fastapi-plain`: an ordinary handler, as most people write it, to measure what that costs."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException

if TYPE_CHECKING:
    from inferlab.models.base import Model
    from inferlab.serve.session import Session


def create_plain_app(model: Model, session: Session) -> FastAPI:
    """POST /predict: a pydantic body in, a dict out, one request a run in FastAPI's thread pool."""
    app = FastAPI()
    lock = contextlib.nullcontext() if session.thread_safe else threading.Lock()

    def predict(body: Any) -> dict[str, Any]:
        try:
            inputs = model.plain_decode(body)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        with lock:
            outputs = session.run(inputs)
        return model.plain_answer(outputs)

    predict.__annotations__ = {"body": model.plain_body()}  # which body is known only here; FastAPI reads it from there
    app.post("/predict")(predict)
    return app
