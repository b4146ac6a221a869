"""What the OpenAPI document says of the paths that FastAPI does not parse itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    from inferlab.serve.deployment import Deployment

ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
STATUSES = {
    400: "Something is wrong with the request; the text names the field and what was expected",
    401: "The bearer token is missing or wrong",
    404: "No such model",
    408: "The body did not come before the deadline",
    413: "The body is too long",
    415: "The body's type or encoding is not known",
    500: "The model failed",
    503: "Too many requests wait, the model is being loaded, its replica was lost or the server is stopping: try again "
    "after Retry-After",
    504: "The deadline would have passed",
}
TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string"},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object"},
    },
    "required": ["name", "shape", "datatype"],
}
WISH = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
    "required": ["name"],
}
REQUEST = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": WISH},
    },
    "required": ["inputs"],
}
RESPONSE = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": TENSOR},
    },
    "required": ["model_name", "outputs"],
}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def _responses(answer: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    errors: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": _json(ERROR)} for status, text in STATUSES.items()
    }
    return {200: {"description": "The answer", "content": _json(answer)}, **errors}


def _error(status: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": STATUSES[status], "content": _json(ERROR)}}


NO_MODEL = _error(404)
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "It cannot", "content": _json({"type": "object", "properties": {"ready": {"const": False}}})}
}
INFER: dict[str, Any] = {
    "tags": ["inference"],
    "summary": "Open Inference Protocol: tensors in, tensors out",
    "description": "JSON, or JSON and then binary tensors with the header Inference-Header-Content-Length.",
    "responses": _responses(RESPONSE),
    "openapi_extra": {"requestBody": {"required": True, "content": _json(REQUEST)}},
}
PREDICT: dict[str, Any] = {
    "tags": ["inference"],
    "responses": _responses({"type": "object"}),
    "openapi_extra": {"requestBody": {"required": True, "content": _json({"type": "object"})}},
}


def describe(app: FastAPI, deployments: Mapping[str, Deployment]) -> None:
    """Give each /predict path the schema of its model's JSON body, when the document is first asked for."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # FastAPI's own, for parameters that are any text here
            for name, deployment in deployments.items():
                body = deployment.model.predict_body()
                operation = document["paths"][f"/predict/{name}"]["post"]
                operation["summary"] = f"{name}: {deployment.model.family}, for people"
                schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
                operation["requestBody"] = {"required": True, "content": _json(schema)}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
