import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inferlab.errors import ArtifactError, MeasurementError
from inferlab.files import digest_of
from inferlab.load.block import Block, ClosedLoad
from inferlab.load.process import LoadProcess, ignore_phase
from inferlab.measure import host
from inferlab.measure.host import serve_all, server_of
from inferlab.models.noop import Noop
from inferlab.processes import threads_of
from inferlab.records import ArtifactRecord, Candidate, Configuration, PlannedConfiguration

CORE, OTHER = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
NOOP = Noop(name="noop", family="noop")


@dataclass(frozen=True)
class Factory:
    """Picklable; makes a session that starts a thread as engines do and is never run, or fails."""

    damaged: bool

    def __call__(self) -> Any:
        if self.damaged:
            raise ArtifactError("model.xml is damaged: its SHA-256 differs")
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return SimpleNamespace(thread_safe=True, close=lambda: None)


def planned(optimization: str) -> PlannedConfiguration:
    configuration = Configuration(
        model="noop", optimization=optimization, target="cpu-eager", path="direct", batching="none"
    )
    return PlannedConfiguration(configuration=configuration, artifact_digest=digest_of({"model": "0"}))


ROWS = [planned(name) for name in ("a", "b", "c")]


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact for each of ROWS, which a fake session stands for; that of `damaged` cannot be loaded."""
    for row in [*ROWS, planned("damaged")]:
        ArtifactRecord(
            model="noop",
            optimization=row.configuration.optimization,
            target="cpu-eager",
            precision="fp32",
            outcome="measured",
            files={"model": "0"},
        ).write(tmp_path / row.configuration.optimization / "cpu-eager" / "artifact.json")

    def factory(artifact_dir: Path, **rest: Any) -> Any:
        return Factory(damaged=artifact_dir.parent.name == "damaged")

    monkeypatch.setattr(host, "SessionFactory", factory)
    return tmp_path


def serve(artifacts: Path, rows: list[PlannedConfiguration], steps: list[int]) -> Any:
    return serve_all(
        rows,
        steps.append,
        model=NOOP,
        artifacts=artifacts,
        samples=[],
        load=LoadProcess((CORE,)),
        cores=(CORE,),
        max_batch_size=8,
    )


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def test_all_are_up_paused_and_on_their_cores_and_end_together(artifacts: Path) -> None:
    steps: list[int] = []
    with serve(artifacts, ROWS, steps) as hosts:
        pids = [one.pid for one in hosts]
        assert len(set(pids)) == 3
        assert [state(pid) for pid in pids] == ["T"] * 3
        threads = set().union(*(threads_of(pid) for pid in pids))
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {frozenset({CORE})}
    assert steps == [1, 1, 1]
    assert {state(pid) for pid in pids} == {"gone"}


def test_a_candidate_gives_each_replica_cores_of_its_own_and_the_rest_to_http(tmp_path: Path) -> None:
    names = {"model": "noop", "optimization": "a", "target": "cpu-eager", "batching": "dynamic", "path": "fastapi"}
    ArtifactRecord(model="noop", optimization="a", target="cpu-eager", precision="fp32", outcome="measured").write(
        tmp_path / "a" / "cpu-eager" / "artifact.json"
    )
    configuration = Configuration.model_validate({**names, "tuned": True})
    row = PlannedConfiguration(configuration=configuration, artifact_digest=digest_of({}))
    candidate = Candidate(batch_limit=4, threads=2, replicas=2)
    server = server_of(row, NOOP, tmp_path, (1, 3, 5, 7, 9), 8, 16, candidate=candidate)
    hosted = server._hosted
    assert (server.cores, server.replicas) == ((1, 3, 5, 7, 9), 2)
    assert [one.cores for one in hosted.replicas] == [(3, 5), (7, 9)]
    assert [one.session_factory.cores for one in hosted.replicas] == [(3, 5), (7, 9)]  # type: ignore[attr-defined]
    assert {one.session_factory.largest_batch for one in hosted.replicas} == {4}  # type: ignore[attr-defined]
    assert hosted.max_batch_size == 4
    default = server_of(row, NOOP, tmp_path, (1, 3, 5, 7, 9), 8, 16)
    assert (default.replicas, default._hosted.replicas, default._hosted.max_batch_size) == (1, (), 8)


def test_a_server_has_the_cores_of_its_device_that_its_process_or_its_replicas_have(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_eager.CpuEager.exclusive", True)
    common: dict[str, Any] = {
        "model": NOOP,
        "artifacts": artifacts,
        "samples": [],
        "load": LoadProcess((OTHER,)),
        "cores": (CORE,),
        "max_batch_size": 8,
    }
    with serve_all(ROWS[:1], lambda steps: None, **common) as (uncounted,):
        assert uncounted.accelerator_cores is None
    monkeypatch.setattr("inferlab.targets.cpu_eager.CpuEager.device_cores", lambda self: 2)
    with serve_all(ROWS[:1], lambda steps: None, **common) as (counted,):
        assert counted.accelerator_cores == 2


def test_a_candidate_gives_each_replica_a_core_of_an_accelerator(tmp_path: Path) -> None:
    names = {"model": "noop", "optimization": "a", "target": "inf2-neuronx", "batching": "dynamic", "path": "fastapi"}
    ArtifactRecord(model="noop", optimization="a", target="inf2-neuronx", precision="fp32", outcome="measured").write(
        tmp_path / "a" / "inf2-neuronx" / "artifact.json"
    )
    row = PlannedConfiguration(
        configuration=Configuration.model_validate({**names, "tuned": True}), artifact_digest=digest_of({})
    )
    candidate = Candidate(batch_limit=4, threads=2, replicas=2)
    hosted = server_of(row, NOOP, tmp_path, (1, 3), 8, 16, candidate=candidate)._hosted
    assert [one.cores for one in hosted.replicas] == [(1, 3), (1, 3)]
    assert [one.environment["NEURON_RT_VISIBLE_CORES"] for one in hosted.replicas] == ["0", "1"]


def test_one_that_cannot_start_ends_all_others(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    spawn = host.ServerProcess.spawn

    def recorded(server: host.ServerProcess) -> None:
        spawn(server)
        pids.append(server.pid)

    monkeypatch.setattr(host.ServerProcess, "spawn", recorded)
    with (
        pytest.raises(ArtifactError, match="is damaged: its SHA-256 differs"),
        serve(artifacts, [ROWS[0], planned("damaged"), ROWS[1]], []),
    ):
        pass
    assert len(pids) >= 2
    assert {state(pid) for pid in pids} == {"gone"}


def test_another_artifact_than_the_planned_one_is_refused_before_a_server_starts(artifacts: Path) -> None:
    other = ROWS[2].model_copy(update={"artifact_digest": "1"})
    steps: list[int] = []
    with (
        pytest.raises(ArtifactError, match="is not the artifact that the study was planned with"),
        serve(artifacts, [ROWS[0], other], steps),
    ):
        pass
    assert steps == []


@dataclass(frozen=True)
class Straying:
    """Picklable; its session starts a thread that leaves the cores of its process for `core`."""

    core: int

    def __call__(self) -> Any:
        def leave() -> None:
            os.sched_setaffinity(0, {self.core})
            threading.Event().wait()

        def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            threading.Thread(target=leave, daemon=True).start()
            time.sleep(0.05)
            return {"embedding": np.zeros((len(inputs["input_ids"]), 384), np.float32)}

        return SimpleNamespace(thread_safe=True, run=run, close=lambda: None)


@pytest.mark.skipif(CORE == OTHER, reason="this process may run on one core only")
def test_a_server_whose_threads_leave_its_cores_is_not_measured(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SessionFactory", lambda **rest: Straying(OTHER))
    inputs = {"input_ids": np.zeros((1, 128), np.int64)}
    with (
        pytest.raises(MeasurementError, match=rf"threads that may run on \[{OTHER}\]: it had more than its budget"),
        serve_all(
            ROWS[:1],
            lambda steps: None,
            model=NOOP,
            artifacts=artifacts,
            samples=[inputs],
            load=LoadProcess((OTHER,)),
            cores=(CORE,),
            max_batch_size=8,
        ) as (only,),
    ):
        only.run(Block(ClosedLoad(1), 0.0, 0.1, 10.0), lambda phase: None)


@dataclass(frozen=True)
class Answering:
    """Picklable; its session answers with zeroes."""

    def __call__(self) -> Any:
        def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"embedding": np.zeros((len(inputs["input_ids"]), 384), np.float32)}

        return SimpleNamespace(thread_safe=True, run=run, close=lambda: None)


def test_servers_of_a_device_for_one_process_take_turns(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_eager.CpuEager.exclusive", True)
    monkeypatch.setattr(host, "SessionFactory", lambda **rest: Answering())
    runs: list[tuple[str, Block]] = []
    run = host.ServerProcess.run

    def recorded(server: host.ServerProcess, payloads: Any, block: Block, on_phase: Any) -> Any:
        runs.append((str(server.pid), block))
        return run(server, payloads, block, on_phase)

    monkeypatch.setattr(host.ServerProcess, "run", recorded)
    warm, measured = Block(ClosedLoad(1), 0.0, 0.02, 10.0, 2), Block(ClosedLoad(1), 0.0, 0.05, 10.0, 5)
    steps: list[int] = []
    with serve_all(
        ROWS[:2],
        steps.append,
        model=NOOP,
        artifacts=artifacts,
        samples=[{"input_ids": np.zeros((1, 128), np.int64)}],
        load=LoadProcess((OTHER,)),
        cores=(CORE,),
        max_batch_size=8,
    ) as (first, second):
        assert steps == [1, 1]
        for waiting in (first, second):
            with pytest.raises(MeasurementError, match="is not running"):
                _ = waiting.pid
        first.run(warm, ignore_phase)
        assert state(first.pid) == "T"
        before = first.pid
        second.wake()
        assert state(before) == "gone"
        second.run(measured, lambda phase: None)
        first.wake()
        again = first.pid
        assert again != before
        first.run(measured, lambda phase: None)
        assert first.pid == again
    assert state(again) == "gone"
    # After its second start the first server is warmed up as after its first one.
    assert [block for pid, block in runs if pid == str(again)] == [warm, measured]
