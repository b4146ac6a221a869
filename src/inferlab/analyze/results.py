"""What `results/machines/` holds: one set of records for each machine, environment and profile."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from inferlab.columns import BLOCK_COLUMNS, TRIAL_COLUMNS
from inferlab.errors import ArtifactError, DataError
from inferlab.files import file_digest
from inferlab.records import ArtifactRecord, MachineRecord, OptimizationRecord, PlanRecord, QualityRecord, Record

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SET_KEYS = ("machine_id", "environment_id", "profile")
"""What tells result sets apart."""
BLOCK_KEY = ["study", "configuration", "scenario", "round", "attempt"]
NUMBERS = {name: dtype for name, dtype in BLOCK_COLUMNS.items() if dtype in ("float64", "int64")}
"""Of the columns of blocks, those that hold numbers."""
REQUESTS_READ = [*BLOCK_KEY, "machine_id", "warmup", "status", "scheduled_s", "done_s"]
ACCOUNT = ("parse_s", "queue_s", "batch_s", "infer_s", "serialize_s")
"""The server's own account of a request."""
KEPT_COLUMNS = ("round", "latency_s", "cached")
STAGE_COLUMNS = ("round", "latency_s", "sent_after_s", *ACCOUNT)

BREAKDOWN = "breakdown"
"""The kind of the studies that ask where the time of a request goes."""

AGAIN = "delete it and run dvc repro, which collects this run's files again, or bring it from where it was measured"

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class ResultSet:
    """The records of one machine, environment and profile; nothing in it is compared with another set."""

    folder: Path
    machine: MachineRecord
    profile: str
    optimizations: dict[tuple[str, str], OptimizationRecord]
    artifacts: dict[tuple[str, str, str], ArtifactRecord]
    quality: dict[tuple[str, str, str], QualityRecord]
    plans: dict[tuple[str, str], PlanRecord]
    blocks: "pd.DataFrame"
    """Columns of columns.BLOCK_COLUMNS, all studies and models."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Machine id, environment id, profile."""
        return (self.machine.machine_id, self.machine.environment_id, self.profile)

    @property
    def provenance(self) -> str:
        """Where the set's numbers come from: hardware, emulated or fake."""
        found = self.provenances
        return found[0] if found else "hardware"

    @cached_property
    def provenances(self) -> tuple[str, ...]:
        """Every provenance among the set's measured records."""
        found = set(self.blocks["provenance"].unique()) if len(self.blocks) else set()
        for records in (self.artifacts, self.quality):
            found |= {record.provenance for record in records.values() if record.outcome == "measured"}
        return tuple(sorted(found))

    @cached_property
    def requests(self) -> "dict[tuple[str, str, str], pd.DataFrame]":
        """The answered requests outside the warm-up, by study, configuration and scenario.

        Columns round, attempt, latency_s (since the scheduled time) and cached. Raises ArtifactError or DataError where
        the requests are not those of the blocks beside them.
        """
        return self._answered(("cached",), self.folder.glob("measurements/*/*/requests.parquet"))

    @cached_property
    def stages(self) -> "dict[tuple[str, str, str], pd.DataFrame]":
        """As `requests`, of the studies of the kind BREAKDOWN.

        Columns round, attempt, latency_s, sent_after_s (since the scheduled time) and those of ACCOUNT, in seconds, NaN
        where the server gave none.
        """
        plans = [plan for plan in self.plans.values() if plan.kind == BREAKDOWN]
        paths = [self.folder / "measurements" / plan.study / plan.model / "requests.parquet" for plan in plans]
        found = self._answered(("scheduled_s", "sent_s", *ACCOUNT), (path for path in paths if path.is_file()))
        return {
            key: frame.assign(sent_after_s=frame["sent_s"] - frame["scheduled_s"])[["attempt", *STAGE_COLUMNS]]
            for key, frame in found.items()
        }

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """Every trial of the studies of tuning, in the order in which they were tried: columns.TRIAL_COLUMNS.

        Studies that were measured before there were trials have no file of them.
        """
        import pandas as pd

        frames = []
        for path in sorted(self.folder.glob("measurements/*/*/trials.parquet")):
            frame = _read_parquet(path, list(TRIAL_COLUMNS))
            names = (*SET_KEYS, "study", "model")
            for column, expected in zip(names, (*self.key, *path.parts[-3:-1]), strict=True):
                _check_column(path, frame, column, expected)
            if len(frame):
                frames.append(frame)
        whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(TRIAL_COLUMNS))
        return whole.astype(TRIAL_COLUMNS)

    def _answered(self, columns: Sequence[str], paths: Iterable[Path]) -> "dict[tuple[str, str, str], pd.DataFrame]":
        """Of files of requests, by study, configuration and scenario: columns round, attempt, latency_s and these."""
        found: dict[tuple[str, str, str], pd.DataFrame] = {}
        for path in sorted(paths):
            requests = _read_parquet(path, list(dict.fromkeys((*REQUESTS_READ, *columns))))
            study, model = path.parts[-3:-1]
            _check_column(path, requests, "study", study)
            _check_column(path, requests, "machine_id", self.machine.machine_id)
            requests = requests[(requests["status"] == "ok") & ~requests["warmup"]]
            blocks = self.blocks[(self.blocks["study"] == study) & (self.blocks["model"] == model)]
            _check_counts(path, requests, blocks)
            latency = requests["done_s"].astype("float64") - requests["scheduled_s"].astype("float64")
            requests = requests.assign(latency_s=latency)
            for key, group in requests.groupby(["study", "configuration", "scenario"], observed=True):
                of_study, configuration, scenario = (str(part) for part in key)
                found[(of_study, configuration, scenario)] = group[["round", "attempt", "latency_s", *columns]]
        return found

    def not_engaged(self, model: str, optimization: str, target: str) -> str:
        """Why the optimization did not take effect in the artifact; empty where it did or there is none."""
        artifact = self.artifacts.get((model, optimization, target))
        if artifact is None or artifact.engagement is None:
            return ""
        return artifact.engagement.missed(artifact.precision)

    def correct(self, model: str, optimization: str, target: str) -> "pd.Series[bool] | None":
        """Whether each evaluation sample was predicted right, by sample index; None where nothing was predicted.

        Raises DataError where the predictions do not give the recorded accuracy.
        """
        path = self.folder / "quality" / model / optimization / target / "predictions.parquet"
        record = self.quality.get((model, optimization, target))
        if record is None or record.outcome != "measured" or record.value is None or not path.is_file():
            return None
        predictions = _read_parquet(path, ["index", "label", "prediction"]).set_index("index").sort_index()
        correct: pd.Series[bool] = predictions["label"] == predictions["prediction"]
        if len(correct) != record.samples or abs(float(correct.mean()) - record.value) > 1e-6:
            raise DataError(
                f"{path}: {int(correct.sum())} of {len(correct)} predictions are right, but quality.json beside it "
                f"says {record.value} of {record.samples}; run dvc repro again"
            )
        return correct


def load_results(machines: Path, first: tuple[str, str, str] | None = None) -> list[ResultSet]:
    """Every set under `results/machines/`, the set whose key is `first` in front, then by key.

    Raises DataError where the sets mix provenances, or where a record is not of the machine, study, model, optimization
    or target that its path names; ArtifactError where a file is damaged, missing, or not the one that was collected.
    """
    _check_collected(machines)
    folders = sorted(path for path in machines.glob("*/*/*") if path.is_dir())
    for folder in folders:
        if not (folder / "machine.json").is_file():
            raise ArtifactError(
                f"{folder / 'machine.json'} is missing, which says what machine the results are of; {AGAIN}"
            )
    sets = [_load_set(folder) for folder in folders]
    check_provenances(sets, machines)
    return sorted(sets, key=lambda found: (found.key != first, found.key))


def check_provenances(sets: Sequence[ResultSet], machines: Path) -> None:
    """Raise DataError where sets that are to stand under `machines` have different provenances."""
    provenances = sorted({provenance for found in sets for provenance in found.provenances})
    if len(provenances) > 1:
        where = "; ".join(f"{'/'.join(found.key)}: {', '.join(found.provenances)}" for found in sets)
        raise DataError(
            f"results of different provenance are never mixed; found {where}; remove all but one kind from {machines}"
        )


def _check_collected(machines: Path) -> None:
    """Compare the files with the checksums that collect listed beside `machines`.

    Files and sets that it does not list (of a machine whose folder was brought since) have none to compare with.
    """
    collected = machines.parent / "collected.json"
    if not collected.is_file():
        return
    try:
        listed = json.loads(collected.read_text(encoding="utf-8"))
        files = {f"{name}/{file}": str(digest) for name, found in listed.items() for file, digest in found.items()}
    except (ValueError, AttributeError) as error:
        raise ArtifactError(f"{collected} is damaged: {error}; run inferlab collect, which writes it") from error
    for file, digest in files.items():
        path = machines / file
        if not path.resolve().is_relative_to(machines.resolve()):
            raise ArtifactError(f"{collected} is damaged: it lists {file!r}, which is outside of {machines}")
        if not path.is_file() or file_digest(path) != digest:
            fault = "is not the file" if path.is_file() else "is missing, a file"
            raise ArtifactError(
                f"{path} {fault} that {collected} lists; {AGAIN}; where it was changed on purpose, run inferlab collect"
            )


def _load_set(folder: Path) -> ResultSet:
    machine_id, environment_id, profile = folder.parts[-3:]
    machine = MachineRecord.read(folder / "machine.json")
    if (machine.machine_id, machine.environment_id) != (machine_id, environment_id):
        raise DataError(
            f"{folder / 'machine.json'} is of machine {machine.machine_id}, environment {machine.environment_id}; "
            f"its folder names {machine_id}, {environment_id}"
        )
    cell = "{0.model}/{0.optimization}/{0.target}"
    optimizations = _read_records(folder, OptimizationRecord, "*.json", "optimizations/{0.model}-{0.optimization}.json")
    artifacts = _read_records(folder, ArtifactRecord, "*/*/*/artifact.json", f"artifacts/{cell}/artifact.json")
    quality = _read_records(folder, QualityRecord, "*/*/*/quality.json", f"quality/{cell}/quality.json")
    plans = _read_records(folder, PlanRecord, "*.json", "plans/{0.study}-{0.model}.json")
    return ResultSet(
        folder=folder,
        machine=machine,
        profile=profile,
        optimizations={(record.model, record.optimization): record for record in optimizations},
        artifacts={(record.model, record.optimization, record.target): record for record in artifacts},
        quality={(record.model, record.optimization, record.target): record for record in quality},
        plans={(record.study, record.model): record for record in plans},
        blocks=_load_blocks(folder, (machine_id, environment_id, profile)),
    )


def _read_records(folder: Path, kind: type[AnyRecord], pattern: str, place: str) -> list[AnyRecord]:
    """Every record that `pattern` finds in the first folder of `place`, which says where a record belongs."""
    found = []
    for path in sorted((folder / place.split("/")[0]).glob(pattern)):
        record = kind.read(path)
        belongs = place.format(record)
        if path != folder / belongs:
            raise DataError(f"{path} holds the record of {belongs}; {AGAIN}")
        found.append(record)
    return found


def _load_blocks(folder: Path, key: tuple[str, str, str]) -> "pd.DataFrame":
    import pandas as pd

    frames = []
    for place in sorted({path.parent for path in folder.glob("measurements/*/*/*.parquet")}):
        path, requests = place / "blocks.parquet", place / "requests.parquet"
        if not path.is_file():
            raise ArtifactError(f"{path} is missing, although requests stand there; {AGAIN}")
        frame = _read_parquet(path)
        missing = sorted(set(BLOCK_COLUMNS) - set(frame.columns))
        if missing:
            raise DataError(
                f"{path}: columns are missing: {', '.join(missing)}; another version of inferlab measured these "
                f"results: measure them again with this one, or delete {folder}"
            )
        names = (*SET_KEYS, "study", "model")
        for column, expected in zip(names, (*key, *place.parts[-2:]), strict=True):
            _check_column(path, frame, column, expected)
        try:
            frame = frame.astype(NUMBERS)
        except (ValueError, TypeError) as error:
            raise ArtifactError(f"{path}: a column holds what is no number ({error}); {AGAIN}") from error
        if (frame["outcome"] == "measured").any() and not requests.is_file():
            raise ArtifactError(f"{requests} is missing, although {path.name} beside it holds measured blocks; {AGAIN}")
        frames.append(frame)
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in BLOCK_COLUMNS.items()})
    return pd.concat(frames, ignore_index=True)


def _read_parquet(path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """A Parquet file as a frame. Raises ArtifactError naming it where it is damaged or lacks a column."""
    import pandas as pd
    from pyarrow import ArrowException

    try:
        return pd.read_parquet(path, columns=columns)
    except (ArrowException, OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read ({str(error).splitlines()[0]}); {AGAIN}") from error


def _check_column(path: Path, frame: "pd.DataFrame", column: str, expected: str) -> None:
    """Raise DataError where a column holds anything but what the file's path names."""
    found = sorted(str(value) for value in frame[column].unique())
    if len(frame) and found != [expected]:
        raise DataError(f"{path}: column {column} holds {', '.join(found)}; its folder names {expected}; {AGAIN}")


def _check_counts(path: Path, requests: "pd.DataFrame", blocks: "pd.DataFrame") -> None:
    """Raise DataError where a measured block does not have as many answered requests as it counted."""
    counted = blocks[blocks["outcome"] == "measured"].set_index(BLOCK_KEY)["requests_ok"]
    stored = requests.groupby(BLOCK_KEY, observed=True).size().reindex(counted.index).fillna(0)
    wrong = (counted != stored).to_numpy().nonzero()[0]
    if len(wrong):
        first = wrong[0]
        _, configuration, scenario, number, _ = counted.index[first]
        raise DataError(
            f"{path}: {len(wrong)} of {len(counted)} measured blocks counted other requests than it holds; first: "
            f"{configuration}, {scenario}, round {number}: {counted.iloc[first]} counted, {int(stored.iloc[first])} "
            f"here; {AGAIN}"
        )


def usable_blocks(blocks: "pd.DataFrame") -> "pd.DataFrame":
    """The measured block of each configuration, scenario and round; of several attempts, the last measured one."""
    measured = blocks[(blocks["outcome"] == "measured") & (blocks["requests_ok"] > 0)]
    return measured.sort_values("attempt").drop_duplicates(BLOCK_KEY[:-1], keep="last").sort_values("round")


def pooled_requests(
    requests: "pd.DataFrame | None", blocks: "pd.DataFrame", columns: Sequence[str] = KEPT_COLUMNS
) -> "pd.DataFrame":
    """These columns of the requests that belong to `blocks`."""
    import numpy as np
    import pandas as pd

    if requests is None or len(blocks) == 0:
        dtypes = {"round": int, "cached": bool}
        return pd.DataFrame({name: np.empty(0, dtypes.get(name, float)) for name in columns})
    belongs = np.isin(_block_numbers(requests), _block_numbers(blocks))
    return requests.loc[belongs, list(columns)]


def _block_numbers(frame: "pd.DataFrame") -> "np.ndarray":
    """Round and attempt in one number."""
    numbers: np.ndarray = (frame["round"].to_numpy(dtype="int64") << 32) + frame["attempt"].to_numpy(dtype="int64")
    return numbers
