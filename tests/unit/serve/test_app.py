"""inferlab's server over real sockets, in its own process."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inferlab.load.timings import parse_server_timing
from inferlab.serve.openinference import HEADER_LENGTH, body_limit, decode_response, encode_request
from inferlab.serve.process import ServerProcess
from serve.sessions import CORE, NOOP, FakeFactory, payload

FAILS_ON = 13
INFER = "/v2/models/noop/infer"


@pytest.fixture(scope="module")
def connection() -> Iterator[http.client.HTTPConnection]:
    """One keep-alive connection to one server, through everything that the tests send."""
    with ServerProcess("fastapi", FakeFactory(fails_on=FAILS_ON), NOOP, "dynamic", 8, (CORE,)) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        yield client
        client.close()


def ask_json(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, Any]:
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("binary_outputs", [True, False])
def test_infer_answers_in_the_form_that_was_wished_for(
    connection: http.client.HTTPConnection, binary: bool, binary_outputs: bool
) -> None:
    body, headers = encode_request(payload(5, batch=3), binary=binary, binary_outputs=binary_outputs, id="a1")
    connection.request("POST", INFER, body, headers)
    response = connection.getresponse()
    answer = response.read()
    decoded = decode_response(answer, response.headers[HEADER_LENGTH])
    assert response.status == 200
    assert (response.headers[HEADER_LENGTH] is not None) == binary_outputs
    assert (decoded.model_name, decoded.id) == ("noop", "a1")
    assert decoded.outputs["embedding"].shape == (3, 384)
    assert (decoded.outputs["embedding"] == 5).all()


def test_an_answer_says_where_its_time_went(connection: http.client.HTTPConnection) -> None:
    body, headers = encode_request(payload(1, batch=2))
    connection.request("POST", INFER, body, headers)
    response = connection.getresponse()
    response.read()
    timings = parse_server_timing(response.headers["Server-Timing"])
    assert timings.batch_size == 2
    assert all(duration_s >= 0 for duration_s in timings[:5])
    assert sum(timings[:5]) > 0


def test_an_answer_says_in_its_parameters_where_its_time_went(connection: http.client.HTTPConnection) -> None:
    status, answer = ask_json(
        connection, "POST", INFER, encode_request(payload(1), binary=False, binary_outputs=False)[0]
    )
    assert status == 200
    assert list(answer["parameters"]) == ["parse_s", "queue_s", "batch_s", "infer_s", "batch_size"]
    assert answer["parameters"]["batch_size"] == 1
    assert 0 < answer["parameters"]["parse_s"] < 10
    assert answer["model_version"] == "1"


def test_versioned_paths_and_configuration(connection: http.client.HTTPConnection) -> None:
    body = encode_request(payload(2), binary=False, binary_outputs=False)[0]
    assert ask_json(connection, "POST", "/v2/models/noop/versions/1/infer", body)[0] == 200
    assert ask_json(connection, "GET", "/v2/models/noop/versions/1/ready") == (200, {"ready": True})
    assert ask_json(connection, "GET", "/v2/models/noop/versions/1") == ask_json(connection, "GET", "/v2/models/noop")
    status, config = ask_json(connection, "GET", "/v2/models/noop/config")
    assert status == 200
    assert config["max_batch_size"] == 8
    assert config["input"] == [{"name": "input_ids", "data_type": "TYPE_INT64", "dims": [128]}]
    assert config["output"] == [{"name": "embedding", "data_type": "TYPE_FP32", "dims": [384]}]
    assert ask_json(connection, "POST", "/v2/repository/index") == (
        200,
        [{"name": "noop", "version": "1", "state": "READY"}],
    )


def test_metadata_and_health(connection: http.client.HTTPConnection) -> None:
    connection.request("HEAD", "/v2/health/ready")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    extensions = ask_json(connection, "GET", "/v2")[1]["extensions"]
    assert extensions == ["binary_tensor_data", "model_configuration", "model_repository"]
    assert ask_json(connection, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask_json(connection, "GET", "/v2/health/ready") == (200, {"ready": True})
    assert ask_json(connection, "GET", "/v2/models/noop/ready") == (200, {"ready": True})
    status, metadata = ask_json(connection, "GET", "/v2/models/noop")
    assert status == 200
    assert metadata["inputs"] == [{"name": "input_ids", "datatype": "INT64", "shape": [-1, 128]}]
    assert metadata["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, 384]}]


GOOD, GOOD_HEADERS = encode_request(payload(1))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/v2/models/nop/infer", b"{}", 404, "unknown model 'nop'; known: noop; did you mean 'noop'?"),
        ("GET", "/v2/models/other", None, 404, "unknown model 'other'"),
        ("POST", "/v2/models/nop/versions/1/infer", b"{}", 404, "unknown model 'nop'"),
        ("POST", "/v2/models/noop/versions/2/infer", b"{}", 404, "unknown version '2' of model 'noop'; known: 1"),
        ("GET", "/v2/models/noop/versions/9", None, 404, "unknown version '9'"),
        ("POST", "/predict/nop", b"{}", 404, "unknown model 'nop'"),
        ("GET", "/nowhere", None, 404, "Not Found"),
        ("GET", INFER, None, 405, "Method Not Allowed"),
        ("POST", INFER, b"", 400, "body: not JSON"),
        ("POST", INFER, b'{"inputs": 3}', 400, "inputs: 3; expected a list of objects"),
        ("POST", INFER, GOOD, 400, "body: not JSON"),
        ("POST", INFER, encode_request({"ids": np.zeros((1, 128), np.int64)}, binary=False)[0], 400, "inputs[0].name"),
        ("POST", INFER, encode_request(payload(1, 9), binary=False)[0], 400, "9 items; at most 8"),
        ("POST", INFER, b" " * (body_limit(NOOP.inputs, 8) + 1), 413, "the body is longer than"),
    ],
)
def test_bad_requests_are_the_clients_error_in_the_protocols_form(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, status: int, message: str
) -> None:
    found_status, answer = ask_json(connection, method, path, body)
    assert found_status == status
    assert list(answer) == ["error"]
    assert message in answer["error"]


def test_binary_bodies_that_are_too_short_or_too_long_are_refused(connection: http.client.HTTPConnection) -> None:
    for body, message in ((GOOD[:-1], "bytes of its binary data"), (GOOD + b"\0", "1 bytes more")):
        connection.request("POST", INFER, body, GOOD_HEADERS)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 400
        assert message in answer["error"]


def test_a_body_beyond_the_limit_is_refused_while_it_comes_in_chunks(connection: http.client.HTTPConnection) -> None:
    client = http.client.HTTPConnection("127.0.0.1", connection.port, timeout=30)
    chunks = (b" " * 65536 for _ in range(body_limit(NOOP.inputs, 8) // 65536 + 1))
    client.request("POST", INFER, chunks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    response = client.getresponse()
    assert response.status == 413
    response.read()
    client.close()


def test_a_failing_session_is_a_server_error_and_the_next_request_is_answered(
    connection: http.client.HTTPConnection,
) -> None:
    body, headers = encode_request(payload(FAILS_ON))
    connection.request("POST", INFER, body, headers)
    response = connection.getresponse()
    assert response.status == 500
    expected = "replica of noop: the model failed on the batch of 1 requests that this one was in"
    assert json.loads(response.read()) == {"error": expected}
    connection.request("POST", INFER, GOOD, GOOD_HEADERS)
    response = connection.getresponse()
    response.read()
    assert response.status == 200
