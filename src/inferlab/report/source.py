"""What the pages are made from: the files that analyze wrote, read once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferlab.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd

SET = ["machine_id", "environment_id", "profile"]
TEXT = {"reason": str, "hint": str, "verdict": str, "note": str, "engagement": str, "accelerators": str}


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
        """The machines and environments that have results of this profile, this run's in front."""
        return [{str(key): value for key, value in line.items()} for line in self.table("machines").to_dict("records")]

    def table(self, name: str) -> "pd.DataFrame":
        """A table of results/tables/, or results/comparisons.csv; only lines of this profile.

        Raises ArtifactError where analyze has not written it.
        """
        import pandas as pd

        path = self.results / f"{name}.csv" if name == "comparisons" else self.results / "tables" / f"{name}.csv"
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; run the stage that writes it (dvc repro analyze)")
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


def open_report(root: str, profile: str, label: str, confidence: float) -> Report:
    """The report of the repository at `root`, which may be relative to the notebook's folder."""
    return Report(Path(root) / "results", profile, label, confidence)
