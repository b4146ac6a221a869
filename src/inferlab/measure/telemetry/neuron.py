"""What a server uses of AWS Neuron devices, by neuron-monitor, which runs as long as the study."""

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from inferlab.errors import MeasurementError
from inferlab.measure.telemetry import neuron_reports
from inferlab.measure.telemetry.base import TELEMETRY, Absent, Reading, TelemetrySource
from inferlab.measure.telemetry.cpu import tree_cpu_s
from inferlab.measure.telemetry.neuron_reports import Report, parse_report, quantities
from inferlab.processes import pin, pin_thread, process_tree
from inferlab.records import Provenance

PROGRAM = "neuron-monitor"
AWS_FOLDER = Path("/opt/aws/neuron")
"""Where the package aws-neuronx-tools puts its programs."""
PERIOD_MS = 200
"""Of a report: one at least lies whole inside 0.4 s."""
METRICS = ("neuroncore_counters", "execution_stats", "memory_used")
LONGEST_LINE = 2**20
"""In bytes; a report of two processes has 4 kB."""
MOST_REPORTS = 10_000
STOP_GRACE_S = 5.0

NO_PROGRAM = Absent(
    f"no AWS Neuron tools: {PROGRAM} is not on PATH", "an EC2 inf2 instance with the package aws-neuronx-tools"
)
NO_REPORT = Absent(
    f"no report of {PROGRAM} lies inside the measured part; its period is {PERIOD_MS} ms",
    "longer blocks (profiles: measure.block_s)",
)


@TELEMETRY.register("neuron")
class Neuron(TelemetrySource):
    """Keeps the reports that lie whole inside the measured part of a block."""

    columns = neuron_reports.COLUMNS

    def __init__(self) -> None:
        self._program = ""
        self._monitor: _Monitor | None = None

    def start(self, cores: Sequence[int]) -> Absent | None:
        self._program = shutil.which(PROGRAM) or ""
        if not self._program:
            return NO_PROGRAM
        try:
            self._monitor = _Monitor(self._program, cores)
        except (OSError, MeasurementError) as error:
            return Absent(f"{PROGRAM} cannot be started: {error}", NO_PROGRAM.hint)
        return None

    def begin(self, server_pid: int) -> None:
        if self._monitor is not None:
            self._monitor.begin()

    def end(self, server_pid: int) -> Reading:
        if self._monitor is None:
            return self.all_absent(NO_PROGRAM)
        reports, trouble = self._monitor.end()
        if not reports:
            return self.all_absent(trouble or NO_REPORT)
        return quantities(reports, set(process_tree(server_pid)))

    def stop(self) -> None:
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None

    def cpu_s(self) -> float:
        return self._monitor.cpu_s() if self._monitor is not None else 0.0

    def provenance(self) -> Provenance:
        """A program says nothing of its origin but where it lies."""
        return "hardware" if Path(self._program).resolve().is_relative_to(AWS_FOLDER) else "fake"


class _Monitor:
    """The running program, and a thread that reads what it writes; when this process is gone its pipe breaks."""

    def __init__(self, program: str, cores: Sequence[int]) -> None:
        self._cores = tuple(cores)
        self._lock = threading.Lock()
        self._begin_s: float | None = None
        self._reports: deque[tuple[float, Report]] = deque(maxlen=MOST_REPORTS)
        self._faults: set[str] = set()
        self._said: deque[str] = deque(maxlen=1)
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(configuration(), file)
        self._config = Path(file.name)
        try:
            self._process = subprocess.Popen(
                [program, "-c", file.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,  # a terminal sends Ctrl-C to the foreground group only
            )
        except OSError:
            self._config.unlink()
            raise
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._threads = [
            threading.Thread(target=self._follow, args=(self._process.stdout,), name=PROGRAM, daemon=True),
            threading.Thread(target=self._listen, args=(self._process.stderr,), name=PROGRAM, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        try:
            pin(self._process.pid, cores)
        except BaseException:
            self.stop()
            raise

    def begin(self) -> None:
        """Keep reports from now on."""
        with self._lock:
            self._reports.clear()
            self._faults.clear()
            self._begin_s = time.monotonic()

    def end(self) -> tuple[list[Report], Absent | None]:
        """The reports that cover no time before `begin`, and what went wrong, if anything did."""
        with self._lock:
            begin_s, self._begin_s = self._begin_s, None
            kept = [report for came_s, report in self._reports if begin_s and came_s - report.period_s >= begin_s]
            faults = sorted(self._faults)
        code = self._process.poll()
        if code is not None:
            said = f": {self._said[0]}" if self._said else ""
            return kept, Absent(f"{PROGRAM} ended with exit code {code}{said}")
        return kept, Absent(f"{PROGRAM} wrote {'; '.join(faults)}") if faults else None

    def cpu_s(self) -> float:
        """CPU seconds of the program so far."""
        return tree_cpu_s(self._process.pid)

    def stop(self) -> None:
        """End the program and the threads."""
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(STOP_GRACE_S)
        self._config.unlink(missing_ok=True)

    def _follow(self, stream: IO[bytes]) -> None:
        pin_thread(threading.get_native_id(), self._cores)
        with stream:
            while line := stream.readline(LONGEST_LINE):
                came_s = time.monotonic()
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    self._keep(f"a line of more than {LONGEST_LINE} bytes", came_s)
                elif self._begin_s is not None and line.strip():
                    self._keep(_report_or_fault(line), came_s)

    def _keep(self, found: Report | str, came_s: float) -> None:
        with self._lock:
            if self._begin_s is None:
                return
            if isinstance(found, str):
                self._faults.add(found)
            else:
                self._reports.append((came_s, found))

    def _listen(self, stream: IO[bytes]) -> None:
        pin_thread(threading.get_native_id(), self._cores)
        with stream:
            while line := stream.readline(LONGEST_LINE):
                self._said.append(line.decode(errors="replace").strip())


def configuration() -> dict[str, object]:
    """What neuron-monitor shall report: of every process, nothing of the system."""
    metrics = [{"type": metric} for metric in METRICS]
    return {"period": f"{PERIOD_MS}ms", "neuron_runtimes": [{"metrics": metrics}], "system_metrics": []}


def _report_or_fault(line: bytes) -> Report | str:
    """A report, or what is wrong with the line, in words that many lines can share."""
    try:
        return parse_report(line)
    except ValueError:
        return "a line that is no whole report in JSON"
