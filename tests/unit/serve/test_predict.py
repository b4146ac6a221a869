"""POST /predict/{name}, SageMaker and Vertex AI over real sockets."""

import base64
import gzip
import io
import json
import re
import threading
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from models.rows import MINILM, PICTURES
from PIL import Image

from inferlab.load.timings import parse_server_timing
from inferlab.models.base import MODELS, Model
from inferlab.serve.openinference import decode_response, encode_request
from inferlab.serve.platforms import VertexRoutes
from serve.endpoint import Endpoint, deployment, endpoint, metrics
from serve.sessions import FakeFactory, FakeLogitsFactory, payload
from serve.test_running import until

IDS = {"input_ids": [3] * 128}
VERTEX = VertexRoutes("/vertex/health", "/vertex/predict", None)


def model(family: str, row: dict[str, object]) -> Model:
    return MODELS.get(family).model_validate({"name": family, "family": family, **row})


TEXT, PICTURE = model("minilm", MINILM), model("efficientnet-lite", PICTURES)


@pytest.fixture(scope="module")
def at() -> Iterator[Endpoint]:
    """noop (first, so SageMaker's and Vertex AI's), a text and a picture classifier without their models."""
    text = deployment("text", FakeLogitsFactory("input_ids", len(TEXT.labels)), TEXT)
    picture = deployment("picture", FakeLogitsFactory("picture", len(PICTURE.labels)), PICTURE)
    with endpoint(deployment(), text, picture, vertex=VERTEX) as running:
        yield running


def picture_file(form: str = "PNG", size: tuple[int, int] = (40, 30), grey: int = 200) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(content, form)
    return content.getvalue()


def test_noop_answers_ids_with_an_embedding_and_says_where_the_time_went(at: Endpoint) -> None:
    status, headers, body = at.ask("POST", "/predict/noop", json.dumps(IDS).encode())
    assert status == 200
    assert json.loads(body) == {"embedding": [3.0] * 384}
    timings = parse_server_timing(headers["Server-Timing"])
    assert timings.batch_size == 1
    assert timings.parse_s > 0
    assert timings.serialize_s > 0


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", ""])
def test_a_text_is_answered_with_its_label_and_scores(at: Endpoint, content_type: str) -> None:
    status, answer = at.ask_json("POST", "/predict/text", {"text": "A good film."}, {"Content-Type": content_type})
    assert status == 200
    assert answer["label"] in TEXT.labels
    assert list(answer["scores"]) == list(TEXT.labels)
    assert sum(answer["scores"].values()) == pytest.approx(1.0)
    assert answer["scores"][answer["label"]] == max(answer["scores"].values())


def test_a_text_its_ids_and_plain_text_are_the_same(at: Endpoint) -> None:
    ids = TEXT.encode_samples({"text": np.array(["A good film."])})["input_ids"][0]
    by_text = at.ask_json("POST", "/predict/text", {"text": "A good film."})
    by_ids = at.ask_json("POST", "/predict/text", {"input_ids": ids[ids != 0].tolist()})
    status, _, plain = at.ask("POST", "/predict/text", b"A good film.", {"Content-Type": "text/plain"})
    assert by_text == by_ids == (status, json.loads(plain))


def broken_palette() -> bytes:
    content = io.BytesIO()
    Image.new("P", (24, 24)).save(content, "PNG")
    return content.getvalue().replace(b"PLTE", b"pLTE")


BROKEN_PALETTE = broken_palette()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_comes_as_a_file_a_form_or_json(at: Endpoint, form: str) -> None:
    content = picture_file(form)
    expected = at.ask("POST", "/predict/picture", content, {"Content-Type": f"image/{form.lower()}"})
    assert expected[0] == 200
    assert json.loads(expected[2])["label"] in PICTURE.labels
    boundary = "----boundary"
    field = 'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: application/octet-stream'
    note = 'Content-Disposition: form-data; name="note"\r\n\r\na field'
    form_body = f"--{boundary}\r\n{note}\r\n--{boundary}\r\n{field}\r\n\r\n".encode() + content
    form_body += f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert at.ask("POST", "/predict/picture", form_body, headers)[2] == expected[2]
    encoded = base64.b64encode(content).decode()
    assert at.ask_json("POST", "/predict/picture", {"image": encoded}) == (200, json.loads(expected[2]))


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "message"),
    [
        ("noop", b"", "application/json", 400, "Invalid JSON"),
        ("noop", b"\xff\xfe", "application/json", 400, "Invalid JSON"),
        ("noop", b"[1]", "application/json", 400, "body: "),
        ("noop", b'{"input_ids": [1.5]}', "application/json", 400, "input_ids.0: 1.5; expected "),
        ("noop", b'{"input_ids": [NaN]}', "application/json", 400, "input_ids.0: nan; expected "),
        ("noop", b'{"input_ids": "1"}', "application/json", 400, "input_ids: '1'; expected "),
        (
            "noop",
            b'{"input_ids": [' + b"9" * 400 + b"]}",
            "application/json",
            400,
            "input_ids: a number of more than 64 bits",
        ),
        ("noop", b'{"ids": [1]}', "application/json", 400, "input_ids: "),
        ("noop", json.dumps({**IDS, "more": 1}).encode(), "application/json", 400, "more: 1; expected "),
        ("noop", b'{"input_ids": []}', "application/json", 400, "input_ids: 0 ids are not allowed; allowed: 1 to 128"),
        ("noop", b'{"input_ids": [-1]}', "application/json", 400, "input_ids: -1 is not allowed"),
        ("noop", b"x", "image/png", 400, "noop takes no files"),
        ("noop", b"x", "application/xml", 415, "'application/xml'; expected application/json"),
        ("text", b"{}", "application/json", 400, "exactly one of text and input_ids"),
        ("text", b'{"text": ""}', "application/json", 400, "text: ''; expected "),
        ("text", json.dumps({"text": "a" * 20_001}).encode(), "application/json", 400, "text: "),
        ("text", b"\xff", "text/plain", 400, "expected text in UTF-8"),
        ("picture", b"not a picture", "image/png", 400, "image: "),
        ("picture", b'{"image": "%%%"}', "application/json", 400, "image: not base64"),
        ("noop", b'{"input_ids": [' + b"[]," * 60_000 + b"[]]}", "application/json", 400, "input_ids.0: []; expected "),
        ("noop", b" " * 2**18 + b" ", "application/json", 413, "longer than 262144 bytes"),
        ("picture", BROKEN_PALETTE, "image/png", 400, "image: not readable"),
        ("picture", picture_file(size=(5000, 4000)), "image/png", 400, "5000 x 4000 pixels"),
        ("picture", picture_file()[:60], "image/png", 400, "image: "),
        ("picture", b"x", "multipart/form-data", 400, "Content-Type: no boundary"),
        ("picture", b"--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n", "multipart/form-data; boundary=b", 400, "2 files"),
        ("picture", b" " * 15_000_001, "image/png", 413, "longer than 15000000 bytes"),
    ],
)
def test_what_is_wrong_is_the_clients_error_and_names_the_field(
    at: Endpoint, path: str, body: bytes, content_type: str, status: int, message: str
) -> None:
    found, _, answer = at.ask("POST", f"/predict/{path}", body, {"Content-Type": content_type})
    assert found == status
    error = json.loads(answer)
    assert list(error) == ["error"]
    assert message in error["error"]
    assert "Traceback" not in error["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies_are_read_within_the_limit(at: Endpoint, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    body, headers = encode_request(payload(4))
    status, found, answer = at.ask(
        "POST", "/v2/models/noop/infer", pack(body), {**headers, "Content-Encoding": encoding}
    )
    assert status == 200
    assert decode_response(answer, found["Inference-Header-Content-Length"]).outputs["embedding"][0, 0] == 4
    bomb = pack(b" " * 200_000_000)
    status, _, answer = at.ask("POST", "/v2/models/noop/infer", bomb, {"Content-Encoding": encoding})
    assert status == 413
    for bad in (b"garbage", pack(body)[:-9]):
        status, _, answer = at.ask("POST", "/v2/models/noop/infer", bad, {"Content-Encoding": encoding})
        assert status == 400
        assert encoding in json.loads(answer)["error"]
    for packed in (gzip.compress(body[:70]) + gzip.compress(body[70:]), gzip.compress(body)):
        assert at.ask("POST", "/v2/models/noop/infer", packed, {**headers, "Content-Encoding": "GZIP "})[0] == 200
    status, _, answer = at.ask("POST", "/v2/models/noop/infer", body, {**headers, "Content-Encoding": "br"})
    assert status == 415


def test_values_that_no_model_was_made_for_are_refused_before_the_model(at: Endpoint) -> None:
    ids = np.full((1, *TEXT.inputs[0].shape), 10**6, np.int64)
    body, headers = encode_request({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    status, _, answer = at.ask("POST", "/v2/models/text/infer", body, headers)
    assert status == 400
    assert "input_ids: 1000000 to 1000000" in json.loads(answer)["error"]
    ids[:] = 5
    body, headers = encode_request({"input_ids": ids, "attention_mask": ids})
    assert at.ask("POST", "/v2/models/text/infer", body, headers)[0] == 400
    picture = np.zeros((1, *PICTURE.inputs[0].shape), np.float32)
    picture[0, 0, 0, 0] = np.nan
    body, headers = encode_request({"picture": picture})
    status, _, answer = at.ask("POST", "/v2/models/picture/infer", body, headers)
    assert status == 400
    assert "not finite" in json.loads(answer)["error"]


def test_sagemaker_calls_the_first_deployment(at: Endpoint) -> None:
    assert at.ask("GET", "/ping")[0] == 200
    assert at.ask_json("POST", "/invocations", IDS) == (200, {"embedding": [3.0] * 384})
    body, headers = encode_request(payload(6), binary=False, binary_outputs=False)
    status, answer = at.ask_json("POST", "/invocations", json.loads(body))
    assert status == 200
    assert answer["outputs"][0]["data"] == [6.0] * 384
    body, headers = encode_request(payload(6))
    size = headers["Inference-Header-Content-Length"]
    wrapped = f"application/vnd.sagemaker-triton.binary+json;json-header-size={size}"
    status, found, content = at.ask("POST", "/invocations", body, {"Content-Type": wrapped})
    assert status == 200
    assert decode_response(content, found["Inference-Header-Content-Length"]).outputs["embedding"][0, 0] == 6


def test_vertex_ai_gets_a_prediction_for_each_instance(at: Endpoint) -> None:
    assert at.ask("GET", "/vertex/health")[0] == 200
    status, answer = at.ask_json("POST", "/vertex/predict", {"instances": [IDS, {"input_ids": [5] * 128}]})
    assert status == 200
    assert [row["embedding"][0] for row in answer["predictions"]] == [3.0, 5.0]
    for wrong in ({}, {"instances": []}, {"instances": [1]}, {"instances": [IDS] * 9}, [1], "x"):
        status, answer = at.ask_json("POST", "/vertex/predict", wrong)
        assert status == 400
        assert list(answer) == ["error"]


def test_a_request_of_many_instances_is_one_request_and_says_where_its_time_went() -> None:
    with endpoint(deployment(), vertex=VERTEX) as at:
        body = json.dumps({"instances": [{"input_ids": [value] * 128} for value in range(1, 5)]}).encode()
        status, headers, _ = at.ask("POST", "/vertex/predict", body)
        assert status == 200
        timings = parse_server_timing(headers["Server-Timing"])
        assert timings.batch_size == 4
        assert min(timings.parse_s, timings.batch_s, timings.infer_s, timings.serialize_s) > 0
        found = metrics(at)
        assert found['inferlab_requests_total{deployment="noop",status="200"}'] == 1
        assert found['inferlab_request_stage_seconds_count{deployment="noop",stage="infer"}'] == 1


def test_instances_that_do_not_all_fit_into_the_queue_are_refused_together() -> None:
    served = deployment(factory=FakeFactory(delay_s=0.5), queue_limit=3)
    with endpoint(served, vertex=VERTEX) as at:
        running = [threading.Thread(target=at.ask_json, args=("POST", "/predict/noop", IDS)) for _ in range(2)]
        for count, one in enumerate(running):
            one.start()
            until(lambda count=count: served.batcher.running + served.batcher.waiting == count + 1)
        status, answer = at.ask_json("POST", "/vertex/predict", {"instances": [IDS] * 3})
        assert (status, served.batcher.waiting) == (503, 1)
        assert "1 items wait already" in answer["error"]
        for one in running:
            one.join()


def test_the_document_describes_every_path_and_the_page_shows_it(at: Endpoint) -> None:
    status, document = at.ask_json("GET", "/openapi.json")
    assert status == 200
    for path in ("/v2/models/{model}/infer", "/predict/noop", "/predict/text", "/predict/picture", "/invocations"):
        assert "post" in document["paths"][path]
    schema = document["paths"]["/predict/text"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"text", "input_ids"}
    assert "503" in document["paths"]["/predict/noop"]["post"]["responses"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named = {one["name"] for one in operation.get("parameters", ())}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert ("404" in operation["responses"]) >= ("{model}" in path)
            assert "422" not in operation["responses"]
    assert at.ask("GET", "/docs")[0] == 200


def test_metrics_count_what_was_asked(at: Endpoint) -> None:
    before = metrics(at)
    for _ in range(3):
        at.ask_json("POST", "/predict/noop", IDS)
    at.ask_json("POST", "/predict/noop", {})
    after = metrics(at)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more('inferlab_requests_total{deployment="noop",status="200"}') == 3
    assert more('inferlab_requests_total{deployment="noop",status="400"}') == 1
    for stage in ("parse", "queue", "batch", "infer", "serialize"):
        assert more(f'inferlab_request_stage_seconds_count{{deployment="noop",stage="{stage}"}}') == 3
        assert more(f'inferlab_request_stage_seconds_sum{{deployment="noop",stage="{stage}"}}') > 0
    assert more('inferlab_batch_size_bucket{deployment="noop",le="1"}') == 3
    assert after['inferlab_replicas_up{deployment="noop"}'] == 1
    assert after['inferlab_queue_items{deployment="noop"}'] == 0
