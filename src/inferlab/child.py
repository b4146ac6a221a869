"""Child processes: pinned to cores, commanded over a pipe, and gone when their parent is.

A child is a fresh interpreter (spawned, never forked). Before it imports anything that could start threads it is tied
to its parent's life, ignores Ctrl-C (the parent decides), is pinned, and has the thread counts of its cores in its
environment. `serve/` and `load/` run their processes on this.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self

from inferlab.errors import InferlabError, MeasurementError
from inferlab.processes import pin

THREAD_COUNT_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PR_SET_PDEATHSIG = 1
HANDSHAKE_TIMEOUT_S = 300.0
"""Long enough to load a large model from a slow disk."""
TERMINATE_GRACE_S = 5.0
M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -8, -3, -1
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""In bytes; glibc before 2.35 refuses a larger one."""
KEPT_BYTES = 2**30


@dataclass(frozen=True)
class Failure:
    """An exception of the child on its way to the parent."""

    kind: type[InferlabError]
    text: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """A group of exceptions counts as its first one, which is what went wrong first."""
        trace = "".join(traceback.format_exception(error))
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, InferlabError):
            return cls(type(error), str(error), trace)
        return cls(MeasurementError, f"{type(error).__name__}: {error}", trace)

    def rebuild(self, what: str, pid: int) -> InferlabError:
        """The exception to raise in the parent: the child's own type where it is one of inferlab's."""
        text = f"{what} (process {pid}): {self.text}" if self.kind is MeasurementError else self.text
        error = self.kind.__new__(self.kind)
        Exception.__init__(error, text)  # subclasses take arguments of their own; the text is already made
        error.add_note(f"in {what} (process {pid}):\n{self.trace}")
        return error


class Child:
    """A running child process, seen from its parent.

    Start children from a thread that lives as long as they shall: Linux ties them to the thread that started them.
    `entry` and `arguments` are pickled; `entry(connection, *arguments)` runs in the child, in its main thread.
    The child inherits the descriptors `pass_fds`, and `environment` is added to its own.
    """

    def __init__(
        self,
        what: str,
        entry: Callable[..., None],
        arguments: tuple[Any, ...],
        cores: Sequence[int],
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.what = what
        work = pickle.dumps((entry, arguments))
        self._connection, child_end = Pipe(duplex=True)
        self._paused = False
        command = "from inferlab.child import run_child; run_child()"
        with child_end:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", command, what, str(child_end.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(child_end.fileno(), *pass_fds),
                env={**_environment(len(cores)), **(environment or {})},
                process_group=0,  # a terminal sends Ctrl-C to the foreground group only
            )
        self.pid = self._process.pid
        try:
            self.send(tuple(cores), "starting")
            self._connection.send_bytes(work)
        except BaseException:
            self.stop(grace_s=0)
            raise

    @property
    def alive(self) -> bool:
        """Whether the process runs (or is paused)."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise MeasurementError with the exit code or signal where the process has ended."""
        if not self.alive:
            raise self._ended("nobody asked it to")

    def send(self, message: object, doing: str) -> None:
        """Send a message. Raises MeasurementError where the process has ended."""
        try:
            self._connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._ended(doing) from None

    def receive(self, timeout_s: float, doing: str) -> Any:
        """The child's next message; sleeps until then.

        Raises the child's exception where it reports one, MeasurementError where it ended or is silent for too long.
        """
        try:
            if not self._connection.poll(timeout_s):
                raise MeasurementError(f"{self.what} (process {self.pid}) was silent for {timeout_s:g} s while {doing}")
            message = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._ended(doing) from None
        if isinstance(message, Failure):
            raise message.rebuild(self.what, self.pid)
        return message

    def fileno(self) -> int:
        """The pipe's file descriptor, readable when there is something to receive (multiprocessing.connection.wait)."""
        return self._connection.fileno()

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP), so that it uses no CPU until `resume`."""
        self.check()
        self._process.send_signal(signal.SIGSTOP)
        self._paused = True
        # A signal takes effect when the process next runs; until then it would still compete for its core.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self.check()
        self._process.send_signal(signal.SIGCONT)
        self._paused = False

    def kill(self) -> None:
        """End the process at once (SIGKILL) and wait until it is gone. Idempotent."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def stop(self, grace_s: float) -> None:
        """Close the pipe, which tells the child to end; wait `grace_s`, then terminate, then kill. Idempotent."""
        stop_all([self], grace_s)

    def _tell_to_end(self) -> None:
        self._connection.close()
        if self._paused:
            self._process.send_signal(signal.SIGCONT)
            self._paused = False

    def _gone_by(self, deadline_s: float | None) -> bool:
        patience_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return not self.alive

    def _ended(self, doing: str) -> MeasurementError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(TERMINATE_GRACE_S)
        code = self._process.poll()
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        return MeasurementError(f"{self.what} (process {self.pid}) {how} while {doing}")


def stop_all(children: Iterable[Child], grace_s: float) -> None:
    """As `Child.stop`, for all at once: none waits for another's end before it is told to end itself."""
    left = list(children)
    for child in left:
        child._tell_to_end()
    for signum, patience_s in ((None, grace_s), (signal.SIGTERM, TERMINATE_GRACE_S), (signal.SIGKILL, None)):
        if signum is not None:
            for child in left:
                child._process.send_signal(signum)
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        left = [child for child in left if not child._gone_by(deadline_s)]


def _environment(core_count: int) -> dict[str, str]:
    # The child looks for modules where its parent does, whatever put those folders on the parent's path.
    folders = [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100 (sys.path holds strings, "" is the cwd)
    threads = dict.fromkeys(THREAD_COUNT_VARIABLES, str(core_count))
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(dict.fromkeys(folders))}


def run_child() -> None:
    """Where a child starts; its arguments are a title for `ps`, the pipe's file descriptor and the parent's pid."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor, parent_pid = int(sys.argv[2]), int(sys.argv[3])
    _die_with(parent_pid)
    os.set_inheritable(descriptor, False)
    connection = Connection(descriptor)
    try:
        pin(os.getpid(), connection.recv())
        # The pipe is the parent's own; unpickling comes after pinning because it imports engines.
        entry, arguments = pickle.loads(connection.recv_bytes())  # noqa: S301
        entry(connection, *arguments)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent closed the pipe, which means: end
    except Exception as error:  # noqa: BLE001 (whatever it is, the parent raises it)
        with contextlib.suppress(OSError):
            connection.send(Failure.of(error))
        sys.exit(1)
    _end_now()


def keep_freed_memory() -> None:
    """Have glibc keep freed memory in one arena (mallopt(3)); to be called before other threads start.

    By default large tensors are mapped and unmapped at each run. The page faults were 40 % of the time of
    efficientnet-lite0 in PyTorch eager, and how many there are differs from one process to the next of the same kind.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _end_now() -> None:
    # Neither threads of engines nor the interpreter's own tidying must hold up the end, which the parent waits for.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies, stopped or not (prctl(2), PR_SET_PDEATHSIG)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it died before prctl
        os._exit(1)
