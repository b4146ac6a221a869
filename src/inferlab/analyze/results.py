"""What `results/machines/` holds: one set of records for each machine, environment and profile."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.errors import DataError
from inferlab.records import (
    BLOCK_COLUMNS,
    ArtifactRecord,
    MachineRecord,
    OptimizationRecord,
    PlanRecord,
    QualityRecord,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BLOCK_KEY = ["study", "configuration", "scenario", "round", "attempt"]


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
    """Columns of records.BLOCK_COLUMNS, all studies and models."""

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
    def latencies(self) -> "dict[tuple[str, str, str], pd.DataFrame]":
        """Latency of the answered requests outside the warm-up, in seconds since the scheduled time.

        By study, configuration and scenario; columns round, attempt, latency_s.
        """
        import pandas as pd

        columns = ["study", "configuration", "scenario", "round", "attempt", "warmup", "status"]
        found: dict[tuple[str, str, str], pd.DataFrame] = {}
        for path in sorted(self.folder.glob("measurements/*/*/requests.parquet")):
            requests = pd.read_parquet(path, columns=[*columns, "scheduled_s", "done_s"])
            requests = requests[(requests["status"] == "ok") & ~requests["warmup"]]
            latency = requests["done_s"].astype("float64") - requests["scheduled_s"].astype("float64")
            requests = requests.assign(latency_s=latency)
            for key, group in requests.groupby(["study", "configuration", "scenario"], observed=True):
                study, configuration, scenario = (str(part) for part in key)
                found[(study, configuration, scenario)] = group[["round", "attempt", "latency_s"]]
        return found

    def correct(self, model: str, optimization: str, target: str) -> "pd.Series[bool] | None":
        """Whether each evaluation sample was predicted right, by sample index; None where nothing was predicted.

        Raises DataError where the predictions do not give the recorded accuracy.
        """
        import pandas as pd

        path = self.folder / "quality" / model / optimization / target / "predictions.parquet"
        record = self.quality.get((model, optimization, target))
        if record is None or record.outcome != "measured" or record.value is None or not path.is_file():
            return None
        predictions = pd.read_parquet(path).set_index("index").sort_index()
        correct: pd.Series[bool] = predictions["label"] == predictions["prediction"]
        if len(correct) != record.samples or abs(float(correct.mean()) - record.value) > 1e-6:
            raise DataError(
                f"{path}: {int(correct.sum())} of {len(correct)} predictions are right, but quality.json beside it "
                f"says {record.value} of {record.samples}; run dvc repro again"
            )
        return correct


def load_results(machines: Path, first: tuple[str, str, str] | None = None) -> list[ResultSet]:
    """Every set under `results/machines/`, the set whose key is `first` in front, then by key.

    Raises DataError where the sets mix provenances, or where a record is not of the machine its folder names.
    """
    folders = sorted(path.parent for path in machines.glob("*/*/*/machine.json"))
    sets = [_load_set(folder) for folder in folders]
    provenances = sorted({provenance for found in sets for provenance in found.provenances})
    if len(provenances) > 1:
        where = "; ".join(f"{'/'.join(found.key)}: {', '.join(found.provenances)}" for found in sets)
        raise DataError(f"results of different provenance are never mixed; found {where}; remove all but one kind")
    return sorted(sets, key=lambda found: (found.key != first, found.key))


def _load_set(folder: Path) -> ResultSet:
    machine_id, environment_id, profile = folder.parts[-3:]
    machine = MachineRecord.read(folder / "machine.json")
    if (machine.machine_id, machine.environment_id) != (machine_id, environment_id):
        raise DataError(
            f"{folder / 'machine.json'} is of machine {machine.machine_id}, environment {machine.environment_id}; "
            f"its folder names {machine_id}, {environment_id}"
        )
    optimizations = [OptimizationRecord.read(path) for path in sorted(folder.glob("optimizations/*.json"))]
    artifacts = [ArtifactRecord.read(path) for path in sorted(folder.glob("artifacts/*/*/*/artifact.json"))]
    quality = [QualityRecord.read(path) for path in sorted(folder.glob("quality/*/*/*/quality.json"))]
    plans = [PlanRecord.read(path) for path in sorted(folder.glob("plans/*.json"))]
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


def _load_blocks(folder: Path, key: tuple[str, str, str]) -> "pd.DataFrame":
    import pandas as pd

    frames = []
    for path in sorted(folder.glob("measurements/*/*/blocks.parquet")):
        frame = pd.read_parquet(path)
        missing = sorted(set(BLOCK_COLUMNS) - set(frame.columns))
        if missing:
            raise DataError(f"{path}: columns are missing: {', '.join(missing)}")
        for column, expected in zip(("machine_id", "environment_id", "profile"), key, strict=True):
            found = sorted(set(frame[column].astype(str)))
            if len(frame) and found != [expected]:
                raise DataError(f"{path}: column {column} holds {', '.join(found)}; its folder names {expected}")
        frames.append(frame)
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in BLOCK_COLUMNS.items()})
    return pd.concat(frames, ignore_index=True)


def usable_blocks(blocks: "pd.DataFrame") -> "pd.DataFrame":
    """The measured block of each configuration, scenario and round; of several attempts, the last measured one."""
    measured = blocks[(blocks["outcome"] == "measured") & (blocks["requests_ok"] > 0)]
    return measured.sort_values("attempt").drop_duplicates(BLOCK_KEY[:-1], keep="last").sort_values("round")


def pooled_latencies(latencies: "pd.DataFrame | None", blocks: "pd.DataFrame") -> "np.ndarray":
    """Latencies in seconds, [requests], of the requests that belong to `blocks`."""
    import numpy as np

    if latencies is None or len(blocks) == 0:
        return np.empty(0)
    belongs = np.isin(_block_numbers(latencies), _block_numbers(blocks))
    return latencies["latency_s"].to_numpy(dtype=float)[belongs]


def _block_numbers(frame: "pd.DataFrame") -> "np.ndarray":
    """Round and attempt in one number."""
    numbers: np.ndarray = (frame["round"].to_numpy(dtype="int64") << 32) + frame["attempt"].to_numpy(dtype="int64")
    return numbers
