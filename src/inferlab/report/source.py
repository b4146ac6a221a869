"""What the pages are made from: the files that analyze wrote, read once."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.errors import ArtifactError
from inferlab.files import file_digest

if TYPE_CHECKING:
    import pandas as pd

SET = ["machine_id", "environment_id", "profile"]
TEXT = {"reason": str, "hint": str, "verdict": str, "note": str, "engagement": str, "accelerators": str}
TEXT |= {"not_engaged": str, "saturated_by": str}
TEXT |= {"against": str, "twin_warning": str, "state": str, "handler": str, "ingredient": str}
TEXT |= dict.fromkeys(("weights", "against_machine_id", "against_environment_id", "against_target"), str)
TEXT |= {"ended_by": str, "widest": str, "widest_scenario": str}
TEXT |= {f"asked_{name}": str for name in ("batch_limit", "threads", "replicas")}
TEXT |= {f"{name}_ratio_verdict": str for name in ("p50", "p95", "p99")}
CHECKSUMS = "checksums.json"


@dataclass(frozen=True)
class Report:
    """The tables of one profile. `label` is printed on every page where a profile has one."""

    results: Path
    profile: str
    label: str
    confidence: float

    @property
    def interval(self) -> str:
        """How an interval is named in tables."""
        return f"{100 * self.confidence:g}\N{NO-BREAK SPACE}%\N{NO-BREAK SPACE}interval"

    @cached_property
    def sets(self) -> list[dict[str, Any]]:
        """The machines and environments that have results of this profile, this run's in front.

        `id` tells them apart in the ids of tables.
        """
        lines = [{str(key): value for key, value in line.items()} for line in self.table("machines").to_dict("records")]
        times = Counter(line["machine_id"] for line in lines)
        return [{**line, "id": _identifier(line, times[line["machine_id"]] > 1)} for line in lines]

    @cached_property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each table as analyze wrote it, by its path from results/."""
        path = self.results / "tables" / CHECKSUMS
        try:
            return {str(name): str(digest) for name, digest in json.loads(path.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError) as error:
            raise ArtifactError(f"{path} is damaged: {error}; delete it and run dvc repro analyze") from error

    def table(self, name: str) -> "pd.DataFrame":
        """A table of results/tables/, or results/comparisons.csv; only lines of this profile.

        Raises ArtifactError where analyze has not written it, or not as it is now.
        """
        import pandas as pd

        file = f"{name}.csv" if name == "comparisons" else f"tables/{name}.csv"
        path = self.results / file
        for needed in (path, self.results / "tables" / CHECKSUMS):
            if not needed.is_file():
                raise ArtifactError(f"{needed} is missing; run the stage that writes it (dvc repro analyze)")
        if file_digest(path) != self.checksums.get(file):
            raise ArtifactError(
                f"{path} is damaged: it is not the file that analyze wrote and listed in tables/{CHECKSUMS}; "
                "delete it and run dvc repro analyze"
            )
        frame = pd.read_csv(path, dtype=TEXT, keep_default_na=True)
        for column in set(TEXT) & set(frame.columns):
            frame[column] = frame[column].fillna("")
        return frame[frame["profile"] == self.profile].reset_index(drop=True)

    def of_set(self, name: str, found: dict[str, Any]) -> "pd.DataFrame":
        """The lines of a table that belong to one machine and environment."""
        frame = self.table(name)
        same = (frame["machine_id"] == found["machine_id"]) & (frame["environment_id"] == found["environment_id"])
        found_lines: pd.DataFrame = frame[same].reset_index(drop=True)
        return found_lines


def _identifier(line: dict[str, Any], with_environment: bool) -> str:
    """Without the dots of versions, which mean something else in a style sheet."""
    text = f"{line['machine_id']}-{line['environment_id']}" if with_environment else str(line["machine_id"])
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)


def open_report(root: str, profile: str, label: str, confidence: float) -> Report:
    """The report of the repository at `root`, which may be relative to the notebook's folder."""
    return Report(Path(root) / "results", profile, label, confidence)
