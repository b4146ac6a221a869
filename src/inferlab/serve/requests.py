"""What a client sends to the servers of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inferlab.load.block import HttpRequests

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model
    from inferlab.records import PlainHandler, ServingPath


def http_requests(
    kind: ServingPath,
    model: Model,
    port: int,
    payloads: Sequence[dict[str, np.ndarray]],
    handler: PlainHandler = "",
) -> HttpRequests:
    """Input tensors of requests, encoded as the server of this kind takes them.

    Binary tensors both ways for `fastapi` and the handler `binary`; JSON for other handlers of `fastapi-plain`, whose
    payloads have batch size 1.
    """
    import orjson

    from inferlab.serve.openinference import encode_request

    plain = f"http://127.0.0.1:{port}/predict"
    if kind == "fastapi-plain" and handler != "binary":
        return HttpRequests(
            url=plain,
            headers={"Content-Type": "application/json"},
            bodies=tuple(orjson.dumps(model.plain_encode(payload)) for payload in payloads),
        )
    encoded = [encode_request(payload) for payload in payloads]
    if any(headers != encoded[0][1] for _, headers in encoded):
        raise ValueError("payloads differ in their shapes; the requests of a block share their headers")
    return HttpRequests(
        url=plain if kind == "fastapi-plain" else f"http://127.0.0.1:{port}/v2/models/{model.name}/infer",
        headers=encoded[0][1],
        bodies=tuple(body for body, _ in encoded),
    )
