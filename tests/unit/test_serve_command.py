"""`inferlab serve` as its user runs it."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from targets.tiny import write_optimized

from inferlab.models.base import MODELS
from inferlab.records import OptimizationRecord
from inferlab.targets.compiling import compile_artifact

REPOSITORY = Path(__file__).parents[2]
IDS = json.dumps({"input_ids": [7] * 128})
NOOP = "noop,original,cpu-eager"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the artifact of noop."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copyfile(REPOSITORY / "params.yaml", root / "params.yaml")
    noop = MODELS.get("noop")(name="noop", family="noop")
    write_optimized(noop, root / "optimized")
    record = OptimizationRecord(model="noop", optimization="original", precision="fp32", outcome="measured")
    out = root / "build/artifacts/noop/original/cpu-eager"
    assert compile_artifact(noop, record, root / "optimized", "cpu-eager", (1, 2, 4, 8), out).outcome == "measured"
    return root


def command(root: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", "from inferlab.cli import main; main()", "serve", *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )


@contextmanager
def serving(root: Path, *arguments: str, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    process = command(root, "--port", "0", *arguments, **environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"on http://127\.0\.0\.1:(\d+)$", line.strip())
        assert found, process.communicate(timeout=30)[1]
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate()


def ask(port: int, path: str, body: str | None = IDS, headers: dict[str, str] | None = None) -> tuple[int, object]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request("POST" if body else "GET", path, body, headers or {})
        response = client.getresponse()
        return response.status, json.loads(response.read())
    finally:
        client.close()


def test_several_deployments_on_one_endpoint_from_the_command_line_and_a_file(root: Path) -> None:
    rows = {"by-file": {"model": "noop", "optimization": "original", "target": "cpu-eager", "replicas": 1}}
    (root / "serve.yaml").write_text(json.dumps({"deployments": rows}))
    with serving(root, f"by-hand={NOOP},cores=0,replicas=1", "--file", "serve.yaml") as (process, port):
        for name in ("by-hand", "by-file"):
            assert ask(port, f"/predict/{name}") == (200, {"embedding": [0.0] * 384})
        assert ask(port, "/v2/health/ready", None) == (200, {"ready": True})
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "7, 7" not in out + err


def test_sigterm_while_replicas_load_ends_with_0(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = command(root, f"noop={NOOP}", "--port", str(port))
    try:
        while process.poll() is None:
            with contextlib.suppress(ConnectionError):
                assert ask(port, "/v2/health/live", None) == (200, {"live": True})
                break
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()


def test_sigterm_under_load_loses_no_accepted_request(root: Path) -> None:
    with serving(root, f"noop={NOOP},cores=0") as (process, port):
        statuses: list[int] = []
        broken: list[str] = []
        begun = threading.Barrier(5)

        def call() -> None:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            client.connect()
            begun.wait()
            while True:
                try:
                    client.request("POST", "/predict/noop", IDS)
                    response = client.getresponse()
                except (ConnectionError, http.client.HTTPException, OSError) as error:
                    broken.append(repr(error))
                    return
                response.read()
                statuses.append(response.status)
                if response.status == 503:
                    return

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        begun.wait()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join()
        assert process.wait(timeout=60) == 0
        assert broken == []
        assert set(statuses) == {200, 503}
        assert statuses.count(200) > 20


def test_the_token_of_the_environment_is_asked_for(root: Path) -> None:
    token = "a-token-of-enough-length"
    with serving(root, f"noop={NOOP}", INFERLAB_TOKEN=token) as (_, port):
        assert ask(port, "/predict/noop")[0] == 401
        assert ask(port, "/predict/noop", headers={"Authorization": f"Bearer {token}"})[0] == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to serve"),
        (["noop=nop,original,cpu-eager"], "did you mean 'noop'|Did you mean 'noop'"),
        ([f"noop={NOOP}", "--file", "missing.yaml"], "missing.yaml is missing"),
        ([f"noop={NOOP}", "--tls-key", "key.pem"], "belong together"),
        (
            [f"noop={NOOP}", "--port", "0", "--tls-certificate", "no.pem", "--tls-key", "no.pem"],
            "TLS files .*no.pem.* cannot be used",
        ),
        ([f"noop={NOOP}", "--token-file", "missing"], "--token-file missing cannot be read"),
        ([f"noop={NOOP}", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(root: Path, arguments: list[str], message: str) -> None:
    process = command(root, *arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(message, err)
    assert "Traceback" not in err


def test_a_port_in_use_is_named(root: Path) -> None:
    with serving(root, f"noop={NOOP}") as (_, port):
        process = command(root, f"noop={NOOP}", "--port", str(port))
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"cannot listen on 127.0.0.1 port {port}: " in err


def test_a_damaged_artifact_is_named_before_the_server_listens(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    folder = tmp_path / "copy/build/artifacts/noop/original/cpu-eager"
    damaged = next(path for path in folder.iterdir() if path.name != "artifact.json")
    damaged.write_bytes(b"damaged")
    process = command(tmp_path / "copy", f"noop={NOOP}")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert damaged.name in err
