import json

import numpy as np
import pytest

from inferlab.serve.openinference import HEADER_LENGTH, decode_request
from inferlab.serve.requests import http_requests
from serve.sessions import NOOP, payload


def test_our_server_gets_binary_tensors_under_the_models_name() -> None:
    requests = http_requests("fastapi", NOOP, 1234, [payload(1), payload(2)])
    assert requests.url == "http://127.0.0.1:1234/v2/models/noop/infer"
    decoded = [decode_request(body, requests.headers[HEADER_LENGTH], NOOP.inputs) for body in requests.bodies]
    assert [request.inputs["input_ids"][0, 0] for request in decoded] == [1, 2]
    assert all(request.all_binary for request in decoded)


def test_the_ordinary_handler_gets_json() -> None:
    requests = http_requests("fastapi-plain", NOOP, 1234, [payload(1)])
    assert requests.url == "http://127.0.0.1:1234/predict"
    assert requests.headers == {"Content-Type": "application/json"}
    assert json.loads(requests.bodies[0]) == {"input_ids": [1] * 128}


def test_a_handler_of_binary_tensors_gets_what_our_server_gets() -> None:
    ours = http_requests("fastapi", NOOP, 1234, [payload(3)])
    plain = http_requests("fastapi-plain", NOOP, 1234, [payload(3)], "binary")
    assert plain.url == "http://127.0.0.1:1234/predict"
    assert (plain.bodies, plain.headers) == (ours.bodies, ours.headers)


def test_payloads_whose_headers_would_differ_are_refused() -> None:
    other = {"input_ids": np.zeros((100, 128), dtype=np.int64)}
    many = {"input_ids": np.zeros((100_000, 128), dtype=np.int64)}
    assert len(http_requests("fastapi", NOOP, 1, [payload(1), payload(1, 2)]).bodies) == 2
    with pytest.raises(ValueError, match="payloads differ"):
        http_requests("fastapi", NOOP, 1, [other, {**many, "mask": many["input_ids"]}])
