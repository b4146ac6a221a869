"""From an artifact on disk to a session: checked first, and in any process, since what is sent there is picklable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferlab.errors import ArtifactError
from inferlab.files import check_digests
from inferlab.models.base import Model
from inferlab.records import ArtifactRecord
from inferlab.targets.base import TARGETS, Session, Target
from inferlab.targets.batching import sizes_up_to
from inferlab.targets.compiling import MANIFEST


@dataclass(frozen=True)
class SessionFactory:
    """Call it in the process that will run the session, pinned to `cores`. It pickles for a spawned process.

    `largest_batch` limits what is loaded to the compiled sizes that batches up to it need; None loads all. Sizes below
    `smallest_batch` are not loaded either: smaller batches then run padded.
    """

    artifact_dir: Path
    model: Model
    cores: tuple[int, ...]
    largest_batch: int | None = None
    smallest_batch: int = 1

    def __call__(self) -> Session:
        """Load the artifact. Raises ArtifactError naming the file that is damaged or the version that differs."""
        record = ArtifactRecord.read(self.artifact_dir / MANIFEST)
        if record.outcome != "measured":
            raise ArtifactError(f"{self.artifact_dir} holds no artifact: {record.outcome}: {record.reason}")
        if record.model != self.model.name:
            raise ArtifactError(f"{self.artifact_dir} holds {record.model!r}, not {self.model.name!r}")
        target = TARGETS.get(record.target)()
        check_versions(target, record, self.artifact_dir)
        check_digests(self.artifact_dir, record.files)
        largest = max(record.batch_sizes) if self.largest_batch is None else self.largest_batch
        sizes = sizes_up_to(record.batch_sizes, largest)
        record = record.model_copy(update={"batch_sizes": tuple(size for size in sizes if size >= self.smallest_batch)})
        return target.load(self.model, self.artifact_dir, record, self.cores)


def check_versions(target: Target, record: ArtifactRecord, artifact_dir: Path) -> None:
    """Raise ArtifactError where the engine is not of the version that compiled the artifact."""
    for package, installed in target.versions().items():
        compiled_with = record.versions.get(package)
        if compiled_with != installed:
            raise ArtifactError(
                f"{artifact_dir} was compiled with {package} {compiled_with}, this is {installed}: run dvc repro"
            )
