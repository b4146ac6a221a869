import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ScriptedHost
from serve.sessions import CORE, NOOP, DamagedFactory, FakeFactory, payload

from inferlab.errors import ArtifactError
from inferlab.files import digest_of
from inferlab.load.block import Block, ClosedLoad
from inferlab.load.process import LoadProcess
from inferlab.measure import host
from inferlab.measure.cold_start import since_start, starting
from inferlab.records import ArtifactRecord, Batching, Configuration, PlannedConfiguration, ServingPath

OTHER = max(os.sched_getaffinity(0))
BLOCK = Block(ClosedLoad(1), 0.0, 20.0, 10.0, max_requests=2)
INFERENCE_S = 0.05


def planned(path: ServingPath, batching: Batching = "none", optimization: str = "a") -> PlannedConfiguration:
    configuration = Configuration(model="noop", optimization=optimization, target="t", path=path, batching=batching)
    return PlannedConfiguration(configuration=configuration, artifact_digest=digest_of({"model": "0"}))


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact that a fake session stands for; that of `damaged` cannot be loaded."""
    for optimization in ("a", "damaged"):
        names = {"model": "noop", "optimization": optimization, "target": "t"}
        record = ArtifactRecord(**names, precision="fp32", outcome="measured", files={"model": "0"})
        record.write(tmp_path / optimization / "t" / "artifact.json")

    def factory(artifact_dir: Path, **rest: Any) -> Any:
        return DamagedFactory() if artifact_dir.parent.name == "damaged" else FakeFactory(INFERENCE_S)

    monkeypatch.setattr(host, "SessionFactory", factory)
    return tmp_path


def serving(artifacts: Path, load: LoadProcess) -> Any:
    samples = [payload(1), payload(2)]
    return starting(model=NOOP, artifacts=artifacts, samples=samples, load=load, cores=(CORE,), max_batch_size=8)


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize(
    ("path", "batching"), [("direct", "none"), ("fastapi-plain", "none"), ("fastapi", "none"), ("fastapi", "dynamic")]
)
def test_a_start_tells_when_the_server_was_ready_and_what_its_first_runs_took(
    artifacts: Path, path: ServingPath, batching: Batching
) -> None:
    with LoadProcess((OTHER,)) as load, serving(artifacts, load) as start:
        before = children()
        found = start(planned(path, batching), BLOCK)
        assert children() == before, "the server is gone"
    columns, times = found.result.columns, found.times
    assert columns["status"].tolist() == ["ok", "ok"]
    assert columns["warmup"].tolist() == [False, True]
    assert columns["scheduled_s"][0] == 0
    assert 0 < times["session_load_s"] < times["ready_s"] < columns["done_s"][0] < columns["done_s"][1]
    assert columns["sent_s"][0] >= times["ready_s"]
    assert columns["done_s"][0] - columns["sent_s"][0] == pytest.approx(times["first_request_s"])
    assert found.result.wall_s == columns["done_s"][0]
    for name in ("first_inference_s", "second_inference_s", "first_request_s", "second_request_s"):
        assert times[name] >= INFERENCE_S
    own_runs = {"fastapi/none": 1, "fastapi/dynamic": 2}.get(f"{path}/{batching}", 0)
    assert times["ready_s"] > own_runs * INFERENCE_S
    assert found.account.values["cpu_s"] > 0
    assert found.account.values["memory_pss_mib"] > 10


def test_a_server_that_cannot_start_says_why_and_is_gone(artifacts: Path) -> None:
    with LoadProcess((OTHER,)) as load, serving(artifacts, load) as start:
        before = children()
        with pytest.raises(ArtifactError, match="is damaged: its SHA-256 differs"):
            start(planned("direct", optimization="damaged"), BLOCK)
        other = planned("direct").model_copy(update={"artifact_digest": "1"})
        with pytest.raises(ArtifactError, match="is not the artifact that the study was planned with"):
            start(other, BLOCK)
        assert children() == before


def test_times_count_from_the_start_of_the_process_and_not_from_that_of_the_client() -> None:
    scripted = ScriptedHost(0.01)
    scripted.open = True
    before = scripted.run(BLOCK, lambda phase: None)
    late = {**before.columns, "sent_s": before.columns["sent_s"] + 0.001}
    late["scheduled_s"] = late["scheduled_s"] + 5.0
    late["sent_s"], late["done_s"] = late["sent_s"] + 5.0, before.columns["done_s"] + 5.0
    result = since_start(type(before)(**{**before.__dict__, "columns": late}), 2.0)
    np.testing.assert_allclose(result.columns["done_s"], 2.0 + 0.01 * np.arange(1, 11))
    np.testing.assert_allclose(result.columns["scheduled_s"], [0.0, *(2.0 + 0.01 * np.arange(1, 10))])
    assert result.columns["sent_s"][0] == pytest.approx(2.001)
    assert result.columns["warmup"].tolist() == [False] + [True] * 9
    assert result.wall_s == pytest.approx(2.01)
    assert math.isnan(result.throughput_per_s)
