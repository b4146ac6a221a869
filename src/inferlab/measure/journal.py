"""Finished rounds, kept outside DVC's outputs under a hash of what determines them.

DVC deletes a stage's outputs before it runs the stage and learns nothing from a `kill -9`, so a resumed run finds its
finished rounds here. A journal whose results DVC has taken over is not resumed: who runs the stage again then wants
other measurements.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS, TRIAL_COLUMNS
from inferlab.files import whole_file

REQUESTS = "requests.parquet"
BLOCKS = "blocks.parquet"
TRIALS = "trials.parquet"


class Journal:
    """The finished rounds of one study and model."""

    def __init__(self, root: Path, name: str, inputs_digest: str) -> None:
        self._family = root / ".inferlab" / "journal" / name
        self._folder = self._family / inputs_digest[:16]
        if self._delivered(root / "dvc.lock"):
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def finished_rounds(self) -> set[int]:
        """Numbers of the rounds that are whole."""
        return {int(path.stem) for path in self._folder.glob("rounds/*.done")}

    def blocks(self) -> pd.DataFrame:
        """Rows of the blocks of all finished rounds, of which there is at least one."""
        folder = self._folder / "rounds"
        parts = [pd.read_parquet(folder / f"{number:04d}.{BLOCKS}") for number in sorted(self.finished_rounds())]
        return pd.concat(parts, ignore_index=True)

    def write_round(self, number: int, requests: pd.DataFrame, blocks: pd.DataFrame) -> None:
        """Store a finished round; it counts once its marker is there."""
        folder = self._folder / "rounds"
        for name, frame in ((REQUESTS, requests), (BLOCKS, blocks)):
            with whole_file(folder / f"{number:04d}.{name}") as part:
                frame.to_parquet(part, compression="zstd", index=False)
        (folder / f"{number:04d}.done").touch()

    def trials(self) -> list[dict[str, Any]]:
        """Rows of the trials that are finished, with the columns of TRIAL_COLUMNS."""
        return self.note("trials") or []

    def write_trials(self, rows: list[dict[str, Any]]) -> None:
        """Store all finished trials, whatever was stored before."""
        self.note("trials", rows)

    def note(self, key: str, value: Any = None) -> Any:
        """A small fact that must stay the same when a run is resumed: stored when given, else read (None if absent)."""
        path = self._folder / f"{key}.json"
        if value is not None:
            with whole_file(path) as part:
                part.write_text(json.dumps(value), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def deliver(self, out: Path) -> None:
        """Write all rounds as the stage's outputs, and remember their checksums. Other journals of the study go."""
        out.mkdir(parents=True, exist_ok=True)
        md5 = {}
        for name in (REQUESTS, BLOCKS):
            parts = [pd.read_parquet(path) for path in sorted(self._folder.glob(f"rounds/*.{name}"))]
            whole = pd.concat(parts, ignore_index=True)
            for column in whole.columns:
                # A round in which a source gave no value beyond the schema lacks that column.
                having = [part[column] for part in parts if column in part]
                if any(isinstance(found.dtype, pd.CategoricalDtype) for found in having):
                    whole[column] = whole[column].astype("category")
            with whole_file(out / name) as part:
                _write_compact(whole, part)
        _write_trials(self.trials(), out)
        for name in (REQUESTS, BLOCKS, TRIALS):
            md5[name] = hashlib.md5((out / name).read_bytes(), usedforsecurity=False).hexdigest()
        self.note("delivered", md5)
        for other in self._family.iterdir():
            if other != self._folder:
                shutil.rmtree(other)

    def deliver_nothing(self, out: Path) -> None:
        """Write empty outputs, for a study of which nothing can be measured here."""
        out.mkdir(parents=True, exist_ok=True)
        for name, columns in ((REQUESTS, REQUEST_COLUMNS), (BLOCKS, BLOCK_COLUMNS)):
            pd.DataFrame(columns=list(columns)).astype(columns).to_parquet(out / name, index=False)
        _write_trials([], out)

    def _delivered(self, lock: Path) -> bool:
        """Whether DVC's lock file names the outputs that this journal gave: DVC calls files by their MD5."""
        md5 = self.note("delivered")
        if not md5 or not lock.is_file():
            return False
        text = lock.read_text(encoding="utf-8")
        return all(value in text for value in md5.values())


def _write_trials(rows: list[dict[str, Any]], out: Path) -> None:
    frame = pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS)
    with whole_file(out / TRIALS) as part:
        _write_compact(frame, part)


def _write_compact(frame: pd.DataFrame, path: Path) -> None:
    """Parquet with the bytes of numbers split into streams, which halves a file of times; dictionaries for the rest."""
    numbers = list(frame.select_dtypes("float"))
    frame.to_parquet(
        path,
        index=False,
        compression="zstd",
        compression_level=15,
        use_dictionary=[name for name in frame.columns if name not in numbers],
        use_byte_stream_split=numbers,
    )
