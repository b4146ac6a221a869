"""What a slow compiler made, kept by its inputs: compiled once, here or on another machine, and taken from then on.

A folder of its own, since DVC empties the artifacts' folders before it makes them again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferlab.files import check_digests, digest_of, file_digest
from inferlab.records import CompiledBinary, Provenance, Record

STORE = Path(".inferlab") / "compiled"
"""In the repository's folder, where every command runs. Bring it along to take what it holds on another machine."""
CompileTo = Callable[[Path], tuple[float, CompiledBinary | None]]
"""Writes a file and gives the seconds that its compiler took, and what it made."""
CONTENT, MANIFEST = "compiled", "compiled.json"


class CompiledRecord(Record):
    """One file that a compiler made, the inputs that it made it from, and what it cost."""

    inputs: dict[str, Any]
    sha256: str
    build_time_s: float
    binary: CompiledBinary | None = None
    provenance: Provenance


@dataclass(frozen=True)
class Taken:
    """What was put in place; `kept` is true where it had been compiled before."""

    record: CompiledRecord
    kept: bool


def taken_or_compiled(
    inputs: dict[str, Any],
    provenance: Provenance,
    into: Path,
    compile_to: CompileTo,
    store: Path = STORE,
) -> Taken:
    """Put the file that these inputs give at `into`: out of the store, else compiled and kept there.

    What a test double compiled is never taken for a device's. Raises ArtifactError where the file in the store is
    damaged, and what `compile_to` raises; nothing is kept then.
    """
    folder = store / digest_of({**inputs, "provenance": provenance})
    # A damaged file is deleted, as its error asks for, and its manifest stays.
    if (folder / MANIFEST).is_file() and (folder / CONTENT).is_file():
        record = CompiledRecord.read(folder / MANIFEST)
        check_digests(folder, {CONTENT: record.sha256})
        shutil.copyfile(folder / CONTENT, into)
        return Taken(record, kept=True)
    build_time_s, binary = compile_to(into)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(into, folder / CONTENT)
    record = CompiledRecord(
        inputs=inputs,
        sha256=file_digest(into),
        build_time_s=build_time_s,
        binary=binary,
        provenance=provenance,
    )
    record.write(folder / MANIFEST)  # last: without it the file was not kept whole
    return Taken(record, kept=False)
