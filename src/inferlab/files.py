"""Files that are whole: checksums, and writing that leaves no half of one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferlab.errors import ArtifactError


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: object) -> str:
    """SHA-256 of a JSON-like value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digests_of_folder(folder: Path, leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """SHA-256 of every file under `folder`, by its relative POSIX path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    return {name: file_digest(path) for path, name in names.items() if name not in leave_out}


def check_digests(folder: Path, files: dict[str, str]) -> None:
    """Raise ArtifactError naming the first file under `folder` that is missing or does not have its checksum."""
    for name, expected in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ArtifactError(f"{folder}: the manifest names {name!r}, which is outside the folder")
        if not path.is_file():
            raise ArtifactError(f"{path} is missing although its manifest lists it; run dvc repro again")
        found = file_digest(path)
        if found != expected:
            raise ArtifactError(
                f"{path} is damaged: its SHA-256 is {found[:12]}…, its manifest says {expected[:12]}…; "
                "delete it and run dvc repro again"
            )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A neighbour of `path` to write to; it takes the name `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
