"""Every exception that inferlab raises on purpose.

InferlabError                    exit code 1: ours, or the machine's
├── ArtifactError                an artifact is missing, damaged or from another version
├── DataError                    evaluation or training data fails its checks
├── MeasurementError             a server or load client failed in a way that no outcome describes
├── ClosedError                  a batcher takes no requests (serve.batcher)
├── DeadlineError                a request's deadline would pass before its answer (serve.batcher)
├── GoneError                    whoever sent a request has gone (serve.batcher)
├── QueueFullError               as many items or bodies wait as may (serve.batcher)
├── InferenceError               a session failed on a batch (serve.runner)
├── ReplicaLostError             a replica ended or hung with a batch (serve.runner)
├── Unsupported                  an engine cannot do what was asked; becomes the outcome `unsupported`
└── UserError                    exit code 2: what was asked for cannot be done as asked
    ├── BatchTooLargeError       a request holds more items than a batch may (serve.batcher)
    ├── BusyError                another measurement holds the lock
    ├── MissingPackageError      a package is not installed; says the command that installs it
    ├── ParamsError              params.yaml is wrong; says key, value, what is allowed, and a near match
    ├── ProtocolError            a request breaks the protocol; names the field (serve.tensors)
    └── UnknownNameError         a name that no registry knows
"""

from collections.abc import Iterable
from difflib import get_close_matches


class InferlabError(Exception):
    """Root of the tree. `exit_code` is what the command line returns."""

    exit_code = 1


class ArtifactError(InferlabError):
    """An artifact is missing, damaged or from another version; the message names the file."""


class DataError(InferlabError):
    """Data fails its checks on the way in; the message names the check and the counts."""


class MeasurementError(InferlabError):
    """A server or load client failed in a way that no outcome describes."""


class Unsupported(InferlabError):
    """An engine cannot do what was asked; becomes the outcome `unsupported` with this text as the reason."""


class UserError(InferlabError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class BusyError(UserError):
    """Another measurement holds the lock."""


class MissingPackageError(UserError):
    """A package is not installed."""

    def __init__(self, package: str, purpose: str, command: str) -> None:
        super().__init__(f"package {package!r} is not installed ({purpose}); install it with: {command}")
        self.package = package
        self.command = command


class ParamsError(UserError):
    """params.yaml, or another `file` of its kind, is wrong at `key`."""

    def __init__(
        self, key: str, value: object, allowed: str, near: str | None = None, file: str = "params.yaml"
    ) -> None:
        hint = f" Did you mean {near!r}?" if near else ""
        super().__init__(f"{file}: {key}: {value!r} is not allowed; allowed: {allowed}.{hint}")
        self.key = key


class UnknownNameError(UserError):
    """A name that no registry knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = near_match(name, known)
        hint = f" Did you mean {near!r}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(known) or 'none'}.{hint}")
        self.kind, self.name, self.known, self.near = kind, name, known, near


LONGEST_COMPARED = 100
"""Characters; comparing takes time that grows with their square."""


def near_match(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None where none is close."""
    if len(name) > LONGEST_COMPARED:
        return None
    matches = get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
