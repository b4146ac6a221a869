"""What stages hand each other: versioned, immutable, units in the names.

Schema history
1  2026-11  first version
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inferlab.errors import ArtifactError
from inferlab.files import whole_file

if TYPE_CHECKING:
    import numpy as np

SCHEMA_VERSION = 1

Outcome = Literal["measured", "unavailable", "unsupported", "rejected", "invalid", "projected", "published"]
Provenance = Literal["hardware", "emulated", "fake"]
Precision = Literal["fp32", "bf16", "fp16", "fp8", "int8-static", "int8-dynamic", "weight-only"]
ServingPath = Literal["direct", "fastapi", "fastapi-plain"]
Batching = Literal["none", "dynamic"]
PlainHandler = Literal["", "no-validation", "no-encoder", "no-thread-pool", "binary", "response-model", "middleware"]
"""Which ordinary handler stands behind `fastapi-plain`: as most people write it, or with one thing changed."""


class Frozen(BaseModel):
    """Immutable and strict: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Frozen):
    """A file that one stage writes and another reads. JSON, sorted keys, so that equal content is equal bytes."""

    schema_version: Literal[1] = 1

    def write(self, path: Path) -> None:
        """Write as JSON; the file appears whole or not at all."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check. Raises ArtifactError naming the file where it is missing or does not hold such a record."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing; run the stage that writes it (dvc repro)") from None
        except ValueError as error:
            other = _other_version(path)
            if other is not None:
                raise ArtifactError(
                    f"{path} has schema_version {other!r}; this inferlab reads {SCHEMA_VERSION}: use the version of "
                    "inferlab that wrote it, or measure again with this one"
                ) from None
            raise ArtifactError(f"{path} does not hold a {cls.__name__}: {error}") from error


def _other_version(path: Path) -> object:
    """The schema version of a record that another version of inferlab wrote; None where it is not that."""
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if version == SCHEMA_VERSION else version


class CorePlan(Frozen):
    """Which logical CPUs serve and which generate load. `isolated` is false where they had to share a core."""

    server: tuple[int, ...]
    load: tuple[int, ...]
    isolated: bool
    note: str


class Accelerator(Frozen):
    """One accelerator as its vendor's tool names it."""

    kind: Literal["cuda", "neuron"]
    name: str
    cores: int
    memory_mib: int | None = None


class MachineRecord(Record):
    """`machine_id` names the hardware only, `environment_id` the software only; volatile facts are not here."""

    machine_id: str
    environment_id: str
    cpu_model: str
    architecture: str
    logical_cores: int
    physical_cores: int
    memory_gib: int
    accelerators: tuple[Accelerator, ...]
    python: str
    packages: dict[str, str]
    core_plan: CorePlan


class StepRecord(Frozen):
    """What one step of a recipe did."""

    kind: str
    options: dict[str, Any]
    time_s: float
    metrics: dict[str, float]


class PreparedRecord(Record):
    """What prepare wrote for a model: its data, their checks, and how the weights were fitted."""

    model: str
    dataset: str | None
    counts: dict[str, int]
    checks: dict[str, Any]
    fit: dict[str, Any]
    files: dict[str, str]
    time_s: float


class OptimizationRecord(Record):
    """What optimize did to a model. MACs are for one item; sparsity is the share of zeroes in weight matrices."""

    model: str
    optimization: str
    precision: Precision
    outcome: Literal["measured", "unsupported"]
    reason: str = ""
    steps: tuple[StepRecord, ...] = ()
    macs: int = 0
    macs_original: int = 0
    parameters: int = 0
    sparsity: float = 0.0
    time_s: float = 0.0
    files: dict[str, str] = {}


LEAST_LOW_PRECISION_SHARE = 0.5
"""Of the MACs, or of the operators where MACs are not known; below it most of the work is that of full precision."""


class Engagement(Frozen):
    """Evidence that an optimization took effect in an artifact. Shares are of all compute operators, 0 to 1.

    `zeroed_weight_share` is of all weights, `zeroed_weight_used_share` is what kernels skip of the zeroed ones.
    """

    operators: int
    low_precision_operators: int
    low_precision_operator_share: float
    low_precision_mac_share: float | None
    zeroed_weight_share: float
    sparse_kernels: bool
    zeroed_weight_used_share: float = 0.0
    macs_removed_share: float
    operators_on_accelerator_share: float | None
    note: str

    def missed(self, precision: Precision) -> str:
        """What did not take effect of an optimization to `precision`, or not in most of it; empty where all did."""
        reasons = []
        low, share, of = self.low_precision_operators, self.low_precision_mac_share, "MACs"
        if share is None:
            share, of = self.low_precision_operator_share, "operators"
        if precision == "weight-only":
            reasons += ["weights are stored in low precision, and no operator computes in it"] if low == 0 else []
        elif precision != "fp32" and low == 0:
            reasons.append(f"{precision} was asked for, and no compute operator runs in low precision")
        elif precision != "fp32" and share < LEAST_LOW_PRECISION_SHARE:
            reasons.append(f"{precision} was asked for, and only {100 * share:.0f} % of the {of} run in low precision")
        elif precision == "fp32" and low > 0:
            reasons.append(f"fp32 was asked for, and {low} of {self.operators} compute operators run in low precision")
        zeroed = round(100 * self.zeroed_weight_share)
        if zeroed and not self.sparse_kernels:  # what is less than that is what training happened to leave
            reasons.append(f"{zeroed} % of the weights are zero, and no kernel skips them")
        on_device = self.operators_on_accelerator_share
        if on_device is not None and on_device < 1:
            reasons.append(f"only {100 * on_device:.0f} % of the operators run on the accelerator")
        return "; ".join(reasons)


class CompiledBinary(Frozen):
    """What an accelerator's compiler made for batches of one size: a NEFF, for instance, inside an artifact's file."""

    batch_size: int
    size_bytes: int
    sha256: str


class ArtifactRecord(Record):
    """The manifest of an artifact. Only `measured` artifacts have files; for others `reason` and `hint` say why."""

    model: str
    optimization: str
    target: str
    precision: Precision
    outcome: Outcome
    reason: str = ""
    hint: str = ""
    provenance: Provenance = "hardware"
    build_time_s: float | None = None
    size_bytes: int | None = None
    files: dict[str, str] = {}
    batch_sizes: tuple[int, ...] = ()
    binaries: tuple[CompiledBinary, ...] = ()
    engagement: Engagement | None = None
    versions: dict[str, str] = {}
    settings: dict[str, str] = {}


class QualityRecord(Record):
    """Quality measured on one artifact; `low` and `high` bound the Wilson 95 % interval. Fractions, not percent."""

    model: str
    optimization: str
    target: str
    outcome: Outcome
    reason: str = ""
    provenance: Provenance = "hardware"
    metric: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0
    time_s: float | None = None
    artifact_digest: str | None = None


class Configuration(Frozen):
    """One row of a table: model × optimization × target × path × batching. The A/A twin differs by `twin` alone.

    `cache_share` is the share of the study's payloads whose answers the server's response cache holds; 0 is no cache.
    `batch_limit` is how many items a batch holds at most, where that is not what params.yaml `serve:` says.
    `handler` is the variant of the ordinary handler (serve/plain_app.py), on `fastapi-plain` alone.
    `tuned` is served as the Candidate that a search of its study chose.
    """

    model: str
    optimization: str
    target: str
    path: ServingPath
    batching: Batching
    cache_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch_limit: Annotated[int, Field(ge=1)] | None = None
    handler: PlainHandler = ""
    tuned: bool = False
    twin: bool = False

    @model_validator(mode="after")
    def _handler_of_the_plain_path(self) -> Self:
        if self.handler and self.path != "fastapi-plain":
            raise ValueError(f"handler is {self.handler!r}; the path {self.path} has no variants, fastapi-plain has")
        return self

    @property
    def id(self) -> str:
        """The configuration's name in every file, table and run."""
        name = f"{self.model}/{self.optimization}/{self.target}/{self.path}/{self.batching}"
        name += f"/cache-{self.cache_share:g}" if self.cache_share else ""
        name += f"/batch-{self.batch_limit}" if self.batch_limit else ""
        name += f"/{self.handler}" if self.handler else ""
        name += "/tuned" if self.tuned else ""
        return f"{name}/twin" if self.twin else name

    def largest_batch(self, max_batch_size: int) -> int:
        """Items that a run of the model holds at most, where `max_batch_size` is the limit of all."""
        return 1 if self.batching == "none" else self.batch_limit or max_batch_size

    @property
    def without_twin(self) -> Self:
        """The configuration itself: of the A/A twin, the one that it is the twin of."""
        return self.model_copy(update={"twin": False})


class PlannedConfiguration(Frozen):
    """A configuration, and why it will not be measured where `outcome` is set; `artifact_digest` where it will."""

    configuration: Configuration
    outcome: Outcome | None = None
    reason: str = ""
    hint: str = ""
    provenance: Provenance = "hardware"
    artifact_digest: str | None = None


class PayloadMix(Frozen):
    """Which requests are sent: one after another in turn or, with an exponent, each drawn by itself.

    Then the k-th of `distinct` payloads is drawn with a probability in proportion to 1 / k^zipf_exponent (Zipf's law).
    """

    distinct: Annotated[int, Field(ge=1, le=10_000)] = 16
    zipf_exponent: Annotated[float, Field(ge=0, le=10)] | None = None

    def probabilities(self) -> "np.ndarray":
        """Of each payload, the most popular first: [distinct] float64."""
        import numpy as np

        weights = np.arange(1, self.distinct + 1, dtype=np.float64) ** -(self.zipf_exponent or 0.0)
        shares: np.ndarray = weights / weights.sum()
        return shares


class Candidate(Frozen):
    """Settings of a server that a search may try: each of its replicas has `threads` cores of its own."""

    batch_limit: int
    threads: int
    replicas: int


CANDIDATE = tuple(Candidate.model_fields)
"""The settings of a candidate, which are also columns of its trial."""

Count = Annotated[int, Field(ge=1, le=1024)]


class SearchSpace(Frozen):
    """What a study of tuning tries: at most `trials` of the candidates that these values make on a machine."""

    trials: Annotated[int, Field(ge=2, le=1000)]
    batch_limits: Annotated[tuple[Count, ...], Field(min_length=1)]
    threads: Annotated[tuple[Count, ...], Field(min_length=1)]
    replicas: Annotated[tuple[Count, ...], Field(min_length=1)]


class PlannedScenario(Frozen):
    """A row of params.yaml `scenarios:` as it was when the study was planned."""

    name: str
    row: dict[str, Any]


class PlanRecord(Record):
    """What a study will measure on this machine, decided before any server starts."""

    study: str
    kind: str = ""
    """Of the study: which analysis and page its rows belong to."""
    model: str
    payloads: PayloadMix = PayloadMix()
    scenarios: tuple[PlannedScenario, ...] = ()
    """In the order of the study; studies.base.scenarios_of reads them."""
    search_space: SearchSpace | None = None
    """Of a study of tuning."""
    reference: str
    """Id of the reference configuration, or empty where it cannot be measured here."""
    configurations: tuple[PlannedConfiguration, ...]
