import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferlab.load.timings import parse_server_timing
from inferlab.serve.cache import ENTRY_BYTES, ResponseCache, key_of
from inferlab.serve.openinference import encode_request
from serve.endpoint import deployment, endpoint, metrics
from serve.sessions import FakeFactory, payload

SIZE = ENTRY_BYTES + 40


def outputs(value: int) -> dict[str, np.ndarray]:
    return {"y": np.full((1, 10), value, np.float32)}


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 5))
def test_it_is_a_least_recently_used_cache_of_so_many_bytes(asked: list[int], room: int) -> None:
    cache = ResponseCache(room * SIZE)
    order: list[int] = []
    hits = 0
    for value in asked:
        key = key_of({"x": np.array([value])})
        found = cache.find(key)
        assert (found is not None) == (value in order)
        if found is not None:
            hits += 1
            assert (found["y"] == value).all()
            assert not found["y"].flags.writeable
            order.remove(value)
        else:
            cache.keep(key, outputs(value))
        order = [*order, value][-room:] if room else []
        assert cache.size_bytes == len(order) * SIZE <= cache.limit_bytes
    assert (cache.hits, cache.misses) == (hits, len(asked) - hits)


def test_a_key_tells_names_shapes_and_bytes_apart() -> None:
    zero = np.zeros((2, 3), np.float32)
    variants = [
        {"a": zero},
        {"b": zero},
        {"a": zero.reshape(3, 2)},
        {"a": -zero},
        {"a": zero, "b": zero},
        {"a": zero + 1},
    ]
    assert len({key_of(variant) for variant in variants}) == len(variants)
    assert key_of({"a": zero, "b": zero + 1}) == key_of({"b": zero + 1, "a": zero.copy()})


def test_hits_are_marked_and_counted_and_the_model_is_not_asked() -> None:
    served = deployment(factory=FakeFactory(delay_s=0.02), cache=ResponseCache(10_000_000))
    with endpoint(served) as at:
        body, headers = encode_request(payload(3), binary=False, binary_outputs=False)
        first, second = (at.ask("POST", "/v2/models/noop/infer", body, headers) for _ in range(2))
        assert "Cache-Status" not in first[1]
        assert second[1]["Cache-Status"] == "inferlab; hit"
        assert parse_server_timing(second[1]["Server-Timing"]).infer_s == 0
        answers = [json.loads(answer[2]) for answer in (first, second)]
        assert answers[0]["outputs"] == answers[1]["outputs"]
        assert [answer["parameters"].get("cached") for answer in answers] == [None, True]
        ids = {"input_ids": [3] * 128}
        status, found, _ = at.ask("POST", "/predict/noop", json.dumps(ids).encode())
        assert (status, found["Cache-Status"]) == (200, "inferlab; hit")
        found = metrics(at)
        assert found['inferlab_cache_lookups_total{deployment="noop",result="hit"}'] == 2
        assert found['inferlab_cache_lookups_total{deployment="noop",result="miss"}'] == 1
        assert found['inferlab_requests_total{deployment="noop",status="200"}'] == 3
        counts = {"parse": 3, "queue": 1, "batch": 1, "infer": 1, "serialize": 3}
        for stage, count in counts.items():
            assert found[f'inferlab_request_stage_seconds_count{{deployment="noop",stage="{stage}"}}'] == count
        assert found['inferlab_batch_size_count{deployment="noop"}'] == 1


def test_without_a_cache_every_request_is_run() -> None:
    with endpoint(deployment()) as at:
        ids = json.dumps({"input_ids": [3] * 128}).encode()
        assert all("Cache-Status" not in at.ask("POST", "/predict/noop", ids)[1] for _ in range(2))
        assert "inferlab_cache_lookups_total{" not in at.ask("GET", "/metrics")[2].decode()
