import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from inferlab.errors import ArtifactError, MeasurementError
from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.block import Block, ClosedLoad, OpenLoad, Phase
from inferlab.load.process import LoadProcess
from inferlab.measure.stopwatch import LOAD, TimedFactory
from inferlab.processes import process_tree, strayed, threads_of
from inferlab.records import ServingPath
from inferlab.serve.cache import bytes_of_answers
from inferlab.serve.host import Placed
from inferlab.serve.process import ENTRIES, ServerProcess, stop_servers
from serve.sessions import CORE, NOOP, DamagedFactory, FakeFactory, ThreadedFactory, payload

PAYLOADS = [payload(value) for value in (1, 2, 3)]
BLOCK = Block(ClosedLoad(4), 0.03, 10.0, 10.0, max_requests=60)
KINDS: list[ServingPath] = ["fastapi", "fastapi-plain", "direct"]


def process(kind: ServingPath, factory: object = FakeFactory()) -> ServerProcess:
    return ServerProcess(kind, factory, NOOP, "none" if kind == "fastapi-plain" else "dynamic", 8, (CORE,))  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def all_gone(pids: list[int]) -> bool:
    deadline_s = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


def test_every_path_of_the_records_has_an_entry() -> None:
    assert set(ENTRIES) == set(ServingPath.__args__)


def test_the_same_load_runs_on_every_path_before_and_after_a_pause() -> None:
    batch_sizes = {}
    with LoadProcess((CORE,)) as load:
        for kind in KINDS:
            with process(kind, FakeFactory(delay_s=0.003)) as server:
                for _ in range(2):
                    phases: list[Phase] = []
                    if kind == "direct":
                        result = server.run(PAYLOADS, BLOCK, phases.append)
                    else:
                        result = load.run(server.requests(PAYLOADS), BLOCK, phases.append)
                    assert result.first_error == ""
                    assert phases == ["measured", "finished"]
                    assert (~result.columns["warmup"]).sum() == 60
                    assert result.columns["http_status"].max() == (0 if kind == "direct" else 200)
                    server.pause()
                    server.pause()
                    server.resume()
                batch_sizes[kind] = result.columns["batch_size"].max()
                server.check()
                pid = server.pid
            assert not alive(pid)
    assert batch_sizes["fastapi"] > 1
    assert batch_sizes["direct"] > 1
    assert batch_sizes["fastapi-plain"] == 1


def test_a_cache_that_holds_all_answers_gives_each_once_from_the_model() -> None:
    cache_bytes = bytes_of_answers(len(PAYLOADS), NOOP.outputs)
    server = ServerProcess("fastapi", FakeFactory(), NOOP, "dynamic", 8, (CORE,), cache_bytes)  # type: ignore[arg-type]
    with LoadProcess((CORE,)) as load, server:
        result = load.run(server.requests(PAYLOADS), Block(ClosedLoad(1), 0.0, 10.0, 5.0, max_requests=30))
    assert result.columns["cached"].tolist() == [False] * 3 + [True] * 27
    with pytest.raises(ValueError, match="on the path direct there is no response cache"):
        ServerProcess("direct", FakeFactory(), NOOP, "dynamic", 8, (CORE,), cache_bytes)  # type: ignore[arg-type]


OTHER = max(os.sched_getaffinity(0))


@pytest.mark.skipif(CORE == OTHER, reason="this process may run on one core only, and each replica needs its own")
def test_replicas_share_the_requests_each_on_cores_of_its_own(tmp_path: Path) -> None:
    notes = [tmp_path / "first", tmp_path / "second"]
    replicas = [
        Placed(TimedFactory(FakeFactory(delay_s=0.02), note), (core,))
        for note, core in zip(notes, (CORE, OTHER), strict=True)
    ]
    server = ServerProcess("fastapi", FakeFactory(), NOOP, "none", 1, (CORE, OTHER), replicas=replicas)  # type: ignore[arg-type]
    assert server.replicas == 2
    with LoadProcess((CORE,)) as load, server:
        result = load.run(server.requests(PAYLOADS), Block(ClosedLoad(4), 0.0, 10.0, 10.0, max_requests=40))
        children = [pid for pid in process_tree(server.pid) if pid != server.pid]
        affinities = {frozenset(os.sched_getaffinity(pid)) for pid in children}
        assert not strayed(server.pid, server.cores)
        assert strayed(server.pid, (CORE,)) == [OTHER]
    assert set(result.columns["status"]) == {"ok"}
    assert affinities == {frozenset({CORE}), frozenset({OTHER})}
    runs = [[line for line in note.read_text().splitlines() if not line.startswith(LOAD)] for note in notes]
    assert all(len(lines) > 5 for lines in runs), "both ran requests, and not their warm-up alone"


def test_only_the_own_server_has_replicas() -> None:
    replicas = [Placed(FakeFactory(), (CORE,))] * 2  # type: ignore[arg-type]
    for kind in ("direct", "fastapi-plain"):
        with pytest.raises(ValueError, match=f"2 replicas; on the path {kind} there is one session"):
            ServerProcess(kind, FakeFactory(), NOOP, "none", 1, (CORE,), replicas=replicas)  # type: ignore[arg-type]


def test_an_open_loop_runs_on_http() -> None:
    block = Block(OpenLoad(ConstantArrivals(100.0)), 0.05, 0.2, 10.0)
    with LoadProcess((CORE,)) as load, process("fastapi") as server:
        result = load.run(server.requests(PAYLOADS), block)
    assert result.columns["status"].tolist() == ["ok"] * 25
    assert result.offered_rate_per_s == pytest.approx(100.0)
    assert np.isfinite(result.columns["queue_s"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_session_raises_is_raised_in_the_parent(kind: ServingPath) -> None:
    with pytest.raises(ArtifactError, match=r"model\.xml is damaged"):
        process(kind, DamagedFactory()).start()


def test_only_direct_has_no_port_and_runs_blocks_itself() -> None:
    with process("direct") as server, pytest.raises(MeasurementError, match="no port"):
        _ = server.port
    with process("fastapi") as server, pytest.raises(MeasurementError, match="over HTTP"):
        server.run(PAYLOADS, BLOCK)
    with pytest.raises(MeasurementError, match="fastapi server of noop is not running"):
        server.check()


def test_a_killed_server_says_so_and_its_requests_are_errors() -> None:
    with LoadProcess((CORE,)) as load, process("fastapi") as server:
        os.kill(server.pid, signal.SIGKILL)
        result = load.run(server.requests(PAYLOADS), Block(ClosedLoad(1), 0.0, 5.0, 5.0, max_requests=2))
        assert set(result.columns["status"]) == {"error"}
        assert all_gone([server.pid])
        with pytest.raises(MeasurementError, match=r"fastapi server of noop .* was ended by SIGKILL"):
            server.check()


def test_stop_answers_what_was_accepted() -> None:
    """A request that is in the session when the server is told to stop is answered."""
    with LoadProcess((CORE,)) as load:
        server = process("fastapi", FakeFactory(delay_s=0.5)).start()
        stopper = threading.Timer(0.2, server.stop)

        def stop_soon(phase: Phase) -> None:
            if phase == "measured":
                stopper.start()

        block = Block(ClosedLoad(1), 0.0, 5.0, 5.0, max_requests=1)
        result = load.run(server.requests(PAYLOADS), block, stop_soon)
        stopper.join()
    assert result.columns["status"].tolist() == ["ok"]


def test_a_paused_server_stops() -> None:
    server = process("fastapi").start()
    pid = server.pid
    server.pause()
    server.stop()
    server.stop()
    assert not alive(pid)


def affinities(server: ServerProcess) -> set[frozenset[int]]:
    threads = threads_of(server.pid)
    assert len(threads) > 1
    return {frozenset(os.sched_getaffinity(thread)) for thread in threads}


@pytest.mark.parametrize("kind", KINDS)
def test_all_threads_of_a_started_server_are_on_its_cores(kind: ServingPath) -> None:
    server = process(kind, ThreadedFactory())
    server.spawn()
    try:
        server.await_ready()
        assert affinities(server) == {frozenset({CORE})}
    finally:
        server.stop()


def test_stopping_ends_at_once_what_still_starts_and_lets_others_end() -> None:
    ready, starting = process("direct").start(), process("direct", FakeFactory())
    starting.spawn()
    pids = [ready.pid, starting.pid]
    stop_servers([ready, starting])
    stop_servers([ready, starting])
    assert not any(alive(pid) for pid in pids)


PARENT = """
import os, signal, sys
from inferlab.load.block import Block, ClosedLoad
from inferlab.load.process import LoadProcess
from serve.test_process import PAYLOADS, process
with LoadProcess(({core},)) as load, process("fastapi") as server, process("direct") as direct:
    direct.pause()
    def tell(phase):
        print(load.pid, server.pid, direct.pid, flush=True)
    load.run(server.requests(PAYLOADS), Block(ClosedLoad(2), 0.0, 600.0, 5.0), tell)
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_whatever_ends_the_parent_in_the_middle_of_a_block_ends_all(signum: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(core=CORE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    running = [alive(pid) for pid in pids]
    parent.send_signal(signum)
    parent.wait(timeout=30)
    assert running == [True] * 3
    assert all_gone(pids)


def test_a_factory_that_cannot_travel_is_refused_before_a_process_starts() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        process("direct", lambda: None).start()
