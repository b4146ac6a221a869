"""tritonclient[http] against the server, as its users write it."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from serve.endpoint import deployment, endpoint
from serve.sessions import FakeFactory
from serve.test_running import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of gevent and zope, on Python versions that they do not know yet
    from tritonclient import http as triton
    from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with endpoint(deployment()) as at:
        connected = triton.InferenceServerClient(f"127.0.0.1:{at.port}", concurrency=4)
        yield connected
        connected.close()


def ids(value: int, items: int = 2) -> np.ndarray:
    return np.full((items, 128), value, np.int64)


def asked(value: int, binary: bool = True) -> Any:
    tensor = triton.InferInput("input_ids", [2, 128], "INT64")
    tensor.set_data_from_numpy(ids(value), binary_data=binary)
    return tensor


def test_metadata_configuration_and_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("noop")
    assert client.is_model_ready("noop", "1")
    assert not client.is_model_ready("nope")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("noop", "1")["inputs"][0]["shape"] == [-1, 128]
    assert client.get_model_config("noop")["max_batch_size"] == 8
    assert client.get_model_repository_index()[0]["state"] == "READY"


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer_in_every_form(client: Any, binary: bool, compression: str | None) -> None:
    wanted = [triton.InferRequestedOutput("embedding", binary_data=binary)]
    result = client.infer(
        "noop",
        [asked(5, binary)],
        outputs=wanted,
        request_id="a-1",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        timeout=1_000_000,
    )
    assert result.as_numpy("embedding").shape == (2, 384)
    assert (result.as_numpy("embedding") == 5).all()
    assert result.get_response()["id"] == "a-1"
    assert result.get_response()["model_version"] == "1"


def test_a_timeout_is_a_deadline() -> None:
    with endpoint(deployment(factory=FakeFactory(delay_s=0.6))) as at:
        connected = triton.InferenceServerClient(f"127.0.0.1:{at.port}", concurrency=2)
        first = connected.async_infer("noop", [asked(1)])
        until(lambda: at.server.deployments["noop"].batcher.running)
        with pytest.raises(InferenceServerException, match="deadline") as error:
            connected.infer("noop", [asked(2)], timeout=200_000)
        assert error.value.status() == "504"
        assert (first.get_result().as_numpy("embedding") == 1).all()
        connected.close()


def test_infer_without_naming_outputs_and_in_the_background(client: Any) -> None:
    waiting = [client.async_infer("noop", [asked(value)], model_version="1") for value in range(8)]
    for value, result in enumerate(waiting):
        assert (result.get_result().as_numpy("embedding") == value).all()


def test_errors_are_those_of_the_protocol(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="unknown model 'nope'"):
        client.infer("nope", [asked(1)])
    tensor = triton.InferInput("ids", [2, 128], "INT64")
    tensor.set_data_from_numpy(ids(1))
    with pytest.raises(InferenceServerException, match=r"inputs\[0\]\.name: 'ids' is unknown"):
        client.infer("noop", [tensor])
