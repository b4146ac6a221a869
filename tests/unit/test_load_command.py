import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from inferlab import cli
from inferlab.load_command import LIMITS
from inferlab.params import load_params


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None, bytes]] = []
        self.delay_s = 0.0
        self.status = 200
        self.stall_until_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/x"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.seen.append((self.command, self.headers.get("Content-Type"), body))
        time.sleep(max(server.delay_s, server.stall_until_s - time.monotonic()))
        self.send_response(server.status)
        self.send_header("Content-Length", "0")
        self.send_header("Server-Timing", "infer;dur=1.5")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["inferlab", "load", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(monkeypatch, *arguments, "--json") == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def test_a_closed_loop_posts_the_files_in_turn_and_keeps_a_record_of_each_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [tmp_path / name for name in ("a.json", "b.json")]
    for path in bodies:
        path.write_text(path.name)
    server.delay_s = 0.005
    out = tmp_path / "requests.parquet"
    found = loaded(
        monkeypatch, capsys, server.url, "--clients", "2", "--duration", "0.4", "--warmup", "0.1",
        "--body", str(bodies[0]), "--body", str(bodies[1]), "--requests-out", str(out),
    )  # fmt: skip
    assert (found["scenario"], found["offered_rate_per_s"], found["ceiling_per_s"]) == ("closed", None, None)
    assert found["requests_ok"] >= 4
    assert found["requests_error"] == found["requests_timeout"] == found["requests_rejected"] == 0
    assert found["latency_p50_s"] >= 0.005
    assert found["latency_p999_s"] is None
    assert found["server_infer_mean_s"] == pytest.approx(0.0015)
    assert found["server_queue_mean_s"] is None
    assert {body for _, _, body in server.seen} == {b"a.json", b"b.json"}
    assert {(method, kind) for method, kind, _ in server.seen} == {("POST", "application/json")}
    records = pq.read_table(out).to_pydict()
    assert len(records["status"]) == len(server.seen)
    assert records["warmup"].count(False) == found["requests_ok"]
    assert {"scheduled_s", "sent_s", "first_byte_s", "done_s", "http_status", "infer_s"} <= set(records)


def test_an_open_loop_sends_what_was_asked_for_whatever_the_answers_take(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.delay_s = 0.1
    found = loaded(
        monkeypatch, capsys, server.url, "--scenario", "open", "--rate", "100", "--duration", "0.5", "--warmup", "0"
    )
    assert found["requests_ok"] == len(server.seen) == 50
    assert found["offered_rate_per_s"] == pytest.approx(100)
    assert {(method, body) for method, _, body in server.seen} == {("GET", b"")}


def test_a_stall_of_the_server_shows_in_the_reported_p99(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 200 requests/s a stall of 0.5 s delays 100 of 400 requests: 20 of them by more than 0.4 s, not one."""

    def stall_once() -> None:
        while not server.seen:
            time.sleep(0.001)
        server.stall_until_s = time.monotonic() + 0.5

    thread = threading.Thread(target=stall_once)
    thread.start()
    found = loaded(
        monkeypatch, capsys, server.url, "--scenario", "open", "--rate", "200", "--duration", "2", "--warmup", "0"
    )
    thread.join()
    assert found["requests_ok"] == 400
    assert found["latency_p99_s"] >= 0.4
    assert found["latency_p95_s"] >= 0.3


@pytest.mark.parametrize(("status", "kind"), [(503, "rejected"), (500, "error"), (302, "error")])
def test_no_answer_at_all_is_invalid_and_ends_with_1(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    kind: str,
) -> None:
    server.status = status
    assert run(monkeypatch, server.url, "--duration", "0.1", "--warmup", "0", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["reason"]) == ("invalid", "no request was answered")
    assert found[f"requests_{kind}"] > 0
    assert f"HTTP {status}" in found["first_error"]
    assert (found["latency_p50_s"], found["throughput_per_s"]) == (None, 0)


def test_a_stop_rule_ends_the_run(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.delay_s = 0.002
    found = loaded(monkeypatch, capsys, server.url, "--min-requests", "30", "--max-duration", "60", "--warmup", "0")
    assert 30 <= found["requests_ok"] <= 31


def test_the_ceiling_is_reported_and_text_says_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inferlab.load.ceiling.WARMUP_S", 0.05)
    monkeypatch.setattr("inferlab.load.ceiling.BLOCK_S", 0.2)
    server.delay_s = 0.02
    core = str(min(os.sched_getaffinity(0)))
    assert run(monkeypatch, server.url, "--duration", "0.5", "--warmup", "0.1", "--ceiling", "--core", core) == 0
    text = capsys.readouterr().out
    for part in ("outcome", "closed loop, 1 client", "requests/s", "p50", "infer 1.500 ms", "sends at most"):
        assert part in text
    assert "p99 " not in text.partition("latency")[2].partition("\n")[0]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the program openssl")
def test_https_needs_a_certificate_that_is_trusted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    arguments = (server.url.replace("http:", "https:"), "--duration", "0.2", "--warmup", "0", "--json")
    assert run(monkeypatch, *arguments) == 1
    assert "certificate verify failed" in json.loads(capsys.readouterr().out)["first_error"]
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert run(monkeypatch, *arguments) == 0
    assert json.loads(capsys.readouterr().out)["requests_ok"] > 0


def interrupted(server: Server, requests: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, which gets SIGINT once the server has seen so many requests."""
    server.delay_s = 0.005
    command = [str(Path(sys.executable).with_name("inferlab")), "load", server.url, "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while len(server.seen) < requests:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def test_ctrl_c_reports_what_was_measured_so_far_and_marks_it(server: Server) -> None:
    ended = interrupted(server, 20, "--duration", "600", "--warmup", "0")
    assert ended.returncode == 130
    found = json.loads(ended.stdout)
    assert found["outcome"] == "invalid"
    assert "stopped by Ctrl-C" in found["reason"]
    assert found["requests_ok"] >= 10


def test_ctrl_c_in_the_warm_up_reports_nothing(server: Server) -> None:
    ended = interrupted(server, 5, "--warmup", "600")
    assert (ended.returncode, ended.stdout) == (130, "")
    assert "nothing was measured" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("ftp://h/",), "allowed: http://HOST"), (("http://h/", "--scenario", "opn"), "Did you mean 'open'")],
)
def test_the_users_error_ends_with_2_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err and not captured.out


def test_the_limits_are_those_of_the_pipeline() -> None:
    assert load_params(Path(__file__).parents[2] / "params.yaml").validity == LIMITS
