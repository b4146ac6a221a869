"""From what a user writes of a deployment to its replicas: all that can be wrong is told before anything starts.

A deployment is written `name=model,optimization,target[,key=value…]`, or as a row of a YAML file with the same keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from inferlab.errors import ArtifactError, UnknownNameError, UserError, near_match
from inferlab.params_file import read_sections
from inferlab.processes import cores_of
from inferlab.records import ArtifactRecord, Batching, Frozen
from inferlab.serve.batcher import Batcher
from inferlab.serve.cache import ResponseCache
from inferlab.serve.deployment import Deployment
from inferlab.serve.layout import Layout
from inferlab.serve.replica import Replica, ReplicaSettings
from inferlab.targets.base import TARGETS, Target
from inferlab.targets.compiling import MANIFEST
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    from inferlab.models.base import Model
    from inferlab.params import Params

MOST_DEPLOYMENTS = 256
FIRST_FIELDS = ("model", "optimization", "target")


class DeploymentSpec(Frozen):
    """One deployment as a user writes it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    model: str
    optimization: str
    target: str
    cores: Annotated[
        str,
        Field(
            pattern=r"^(\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*)?$",
            description="cores of the target, such as 0-3,8: CPU cores, NeuronCores or GPUs; shared by replicas",
        ),
    ] = ""
    replicas: Annotated[int, Field(ge=1, le=1024, description="sessions, each in a process with cores of its own")] = 1
    batching: Annotated[Batching, Field(description="dynamic or none")] = "dynamic"
    max_batch_size: Annotated[int | None, Field(ge=1, le=1024, description="default: the largest compiled size")] = None
    queue_limit: Annotated[int, Field(ge=1, le=1_000_000, description="items that may wait; more get 503")] = 256
    timeout_ms: Annotated[
        float, Field(gt=0, le=86_400_000, description="deadline of requests without Request-Timeout-Ms")
    ] = 30_000.0
    cache_mib: Annotated[float, Field(ge=0, le=1_000_000, description="size of the response cache; 0 for none")] = 0.0
    batch_limit_ms: Annotated[
        float, Field(gt=0, le=86_400_000, description="a batch that takes longer counts as hung")
    ] = 60_000.0


def parse_deployment(text: str) -> DeploymentSpec:
    """`name=model,optimization,target[,key=value…]`. Raises UserError naming what is wrong."""
    name, found, rest = text.partition("=")
    parts = rest.split(",")
    if not found or len(parts) < len(FIRST_FIELDS) or any("=" in part for part in parts[: len(FIRST_FIELDS)]):
        raise UserError(f"{text!r} is no deployment; expected name=model,optimization,target[,key=value…]")
    row: dict[str, Any] = {"name": name, **dict(zip(FIRST_FIELDS, parts, strict=False))}
    last = ""
    for part in parts[len(FIRST_FIELDS) :]:
        key, found, value = part.partition("=")
        if not found and last == "cores":  # its own commas
            row["cores"] += f",{part}"
            continue
        if not found or key in row:
            raise UserError(f"{text!r}: {part!r} is not allowed; expected key=value, each key once")
        row[key], last = value, key
    return _spec(row, text, strict=False)


def read_deployments(path: Path) -> list[DeploymentSpec]:
    """The rows of a YAML file's `deployments:`. Raises UserError naming file, row and key."""
    rows = read_sections(path, ("deployments",))["deployments"]
    if not isinstance(rows, dict) or not rows:
        raise UserError(f"{path}: deployments: expected a mapping of names to rows")
    specs = []
    for name, row in rows.items():
        if not isinstance(row, dict) or "name" in row:
            raise UserError(f"{path}: deployments.{name}: expected a mapping of {', '.join(_keys())}")
        row = {key: str(value) if key == "cores" else value for key, value in row.items()}
        specs.append(_spec({"name": name, **row}, f"{path}: deployments.{name}", strict=True))
    return specs


def build_deployments(specs: Sequence[DeploymentSpec], params: Params, root: Path) -> dict[str, Deployment]:
    """Everything that `specs` name, not started yet. Raises UserError and ArtifactError before any process starts."""
    if not specs:
        raise UserError("nothing to serve; name at least one deployment: name=model,optimization,target")
    if len(specs) > MOST_DEPLOYMENTS:
        raise UserError(f"{len(specs)} deployments; at most {MOST_DEPLOYMENTS}")
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"deployment {name!r} is named twice")
    checked = [_checked(spec, params, root) for spec in specs]
    places = _places([(spec, target) for spec, target, *_ in checked])
    return {
        spec.name: _deployment(spec, target, model, folder, record, places[spec.name])
        for spec, target, model, folder, record in checked
    }


def _spec(row: dict[str, Any], where: str, strict: bool) -> DeploymentSpec:
    try:
        return DeploymentSpec.model_validate(row, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            near = near_match(key, _keys())
            hint = f" Did you mean {near!r}?" if near else ""
            raise UserError(f"{where}: {key!r} is not allowed; allowed: {', '.join(_keys())}.{hint}") from None
        raise UserError(f"{where}: {key}: {first['input']!r} is not allowed; {first['msg']}") from None


def _keys() -> list[str]:
    return [name for name in DeploymentSpec.model_fields if name != "name"]


def _checked(
    spec: DeploymentSpec, params: Params, root: Path
) -> tuple[DeploymentSpec, Target, Model, Path, ArtifactRecord]:
    """The spec with what it names. Raises UnknownNameError, UserError or ArtifactError."""
    for option, known in (("model", params.models), ("optimization", params.optimizations)):
        if getattr(spec, option) not in known:
            raise UnknownNameError(f"{option} of deployment {spec.name!r}:", getattr(spec, option), known)
    target = TARGETS.get(spec.target)()
    available = target.probe()
    if not available.available:
        raise UserError(
            f"deployment {spec.name!r}: {spec.target} is not available: {available.reason}; {available.hint}"
        )
    folder = root / "build" / "artifacts" / spec.model / spec.optimization / spec.target
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(
            f"deployment {spec.name!r}: {folder} holds no artifact; make it with: "
            f"dvc repro compile@{spec.model}-{spec.optimization}"
        )
    record = ArtifactRecord.read(folder / MANIFEST)
    if record.outcome != "measured":
        raise UserError(f"deployment {spec.name!r}: {folder} is {record.outcome}: {record.reason}")
    largest = max(record.batch_sizes)
    if spec.max_batch_size is not None and spec.max_batch_size > largest:
        raise UserError(
            f"deployment {spec.name!r}: max_batch_size: {spec.max_batch_size} is above {largest}, "
            "the largest compiled size"
        )
    return spec, target, params.models[spec.model], folder, record


def _places(rows: Iterable[tuple[DeploymentSpec, Target]]) -> dict[str, list[tuple[int, ...]]]:
    """The cores of each replica of each deployment.

    Where a deployment names none, a CPU's replicas share all cores of this process; an accelerator's get one core each,
    from the first that no deployment has, since such a core belongs to one process.
    """
    places: dict[str, list[tuple[int, ...]]] = {}
    taken: set[tuple[str, int]] = set()
    for spec, target in rows:
        kind = "cpu" if target.on_cpu else spec.target
        if spec.cores:
            cores = sorted(cores_of(spec.cores))
        elif target.on_cpu:
            cores = sorted(os.sched_getaffinity(0))
        else:
            free = (core for core in range(MOST_DEPLOYMENTS * 1024) if (kind, core) not in taken)
            cores = [next(free) for _ in range(spec.replicas)]
        if len(cores) < spec.replicas and spec.cores:
            raise UserError(
                f"deployment {spec.name!r}: cores: {spec.cores} are fewer than its {spec.replicas} replicas"
            )
        if not target.on_cpu:
            twice = [core for core in cores if (kind, core) in taken]
            if twice:
                raise UserError(f"deployment {spec.name!r}: core {twice[0]} of {kind} has another deployment already")
            taken |= {(kind, core) for core in cores}
        places[spec.name] = _shares(cores, spec.replicas)
    return places


def _shares(cores: Sequence[int], replicas: int) -> list[tuple[int, ...]]:
    """As even as can be; where there are more replicas than cores, they take turns."""
    if replicas > len(cores):
        return [(cores[index % len(cores)],) for index in range(replicas)]
    size, larger = divmod(len(cores), replicas)
    shares, start = [], 0
    for index in range(replicas):
        end = start + size + (index < larger)
        shares.append(tuple(cores[start:end]))
        start = end
    return shares


def _deployment(
    spec: DeploymentSpec,
    target: Target,
    model: Model,
    folder: Path,
    record: ArtifactRecord,
    places: Sequence[tuple[int, ...]],
) -> Deployment:
    largest = 1 if spec.batching == "none" else spec.max_batch_size or max(record.batch_sizes)
    layout = Layout.of(model.inputs, model.outputs, largest)
    replicas = []
    for number, cores in enumerate(places):
        placement = target.placement(cores)
        factory = SessionFactory(
            artifact_dir=folder,
            model=model,
            cores=placement.cpu_cores,
            largest_batch=largest,
        )
        what = f"replica {number} of {spec.name}"
        settings = ReplicaSettings(
            what, factory, layout, placement.cpu_cores, spec.batch_limit_ms / 1e3, placement.environment
        )
        replicas.append(Replica(settings))
    batcher = Batcher(replicas, spec.batching, largest, spec.queue_limit)
    cache = ResponseCache(int(spec.cache_mib * 2**20)) if spec.cache_mib else None
    return Deployment(
        spec.name,
        model,
        batcher,
        spec.optimization,
        spec.target,
        spec.timeout_ms / 1e3,
        cache,
        prepare=model.prepare_predict,
    )
