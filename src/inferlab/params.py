"""params.yaml as frozen, strict, typed classes. A wrong file stops before any work.

Rows that name a registered kind (`family`, `kind`, a data set's `name`) are checked by the class that the name stands
for, so a new kind brings its own keys.
"""

import json
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from inferlab.errors import ParamsError, UnknownNameError, UserError, near_match
from inferlab.measure.validity import Limits
from inferlab.models.base import MODELS, Model
from inferlab.optimize.base import STEPS, Step
from inferlab.records import Frozen, Precision
from inferlab.registry import Registry
from inferlab.studies.base import STUDIES, ClosedLoop, OpenLoop, Scenario, Study
from inferlab.targets.base import TARGETS

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ORIGINAL = "original"
MAX_PARAMS_BYTES = 1_000_000

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Run(Frozen):
    """What this run selects."""

    profile: str
    seed: Annotated[int, Field(ge=0)]
    models: tuple[str, ...]
    optimizations: tuple[str, ...]
    targets: tuple[str, ...]
    studies: tuple[str, ...]


class ProfileData(Frozen):
    """Shares of the training, the evaluation and the calibration samples that a profile uses."""

    train_fraction: Fraction
    evaluation_fraction: Fraction
    calibration_fraction: Fraction


class ProfileMeasure(Frozen):
    """How much is measured. An interval over rounds needs two of them; an invalid block is tried `attempts` times."""

    rounds: Annotated[int, Field(ge=2, le=10_000)]
    block_s: Positive
    warmup_s: Positive
    max_requests: Annotated[int, Field(ge=10)]
    attempts: Annotated[int, Field(ge=1, le=10)]


class Profile(Frozen):
    """How much of everything; `label` is printed on every page."""

    label: str
    data: ProfileData
    measure: ProfileMeasure


class Optimization(Frozen):
    """A recipe of steps, then a precision that targets lower to."""

    precision: Precision
    steps: tuple[Step, ...]


class Compile(Frozen):
    """Batch sizes that targets with static shapes compile."""

    batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)]


class Serve(Frozen):
    """The batcher's limit and the client's time-out."""

    max_batch_size: Annotated[int, Field(ge=1, le=1024)]
    request_timeout_s: Positive


class Analysis(Frozen):
    """Confidence of every interval."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)]


class Params(Frozen):
    """The whole file."""

    run: Run
    profiles: dict[str, Profile]
    models: dict[str, Model]
    optimizations: dict[str, Optimization]
    compile: Compile
    serve: Serve
    scenarios: dict[str, ClosedLoop | OpenLoop]
    studies: dict[str, Study]
    validity: Limits
    analysis: Analysis

    @property
    def profile(self) -> Profile:
        """The profile that `run:` selects."""
        return self.profiles[self.run.profile]


def load_params(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError naming key, value, what is allowed, and a near match."""
    sections = _sections(path)
    optimizations = {}
    for name, row in _rows(sections, "optimizations"):
        row["steps"] = tuple(_steps(f"optimizations.{name}.steps", row.get("steps")))
        optimizations[name] = _frozen(Optimization, row, f"optimizations.{name}")
    parsed: dict[str, Any] = {
        "run": _frozen(Run, sections["run"], "run"),
        "profiles": {name: _frozen(Profile, row, f"profiles.{name}") for name, row in _rows(sections, "profiles")},
        "models": {
            name: _registered(MODELS, "family", {**row, "name": name}, f"models.{name}")
            for name, row in _rows(sections, "models")
        },
        "optimizations": optimizations,
        "compile": _frozen(Compile, sections["compile"], "compile"),
        "serve": _frozen(Serve, sections["serve"], "serve"),
        "scenarios": {name: _scenario(row, f"scenarios.{name}") for name, row in _rows(sections, "scenarios")},
        "studies": {
            name: _registered(STUDIES, "kind", {**row, "name": name}, f"studies.{name}")
            for name, row in _rows(sections, "studies")
        },
        "validity": _frozen(Limits, sections["validity"], "validity"),
        "analysis": _frozen(Analysis, sections["analysis"], "analysis"),
    }
    params = Params.model_construct(**parsed)
    _check_names(params)
    _check_combinations(params)
    return params


def select_profile(path: Path, profile: str) -> None:
    """Set `run.profile` in the file, keeping every other byte. Raises ParamsError where no such profile is defined."""
    params = load_params(path)
    _known("run.profile", profile, params.profiles)
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^(  profile:\s*)[^\s#]+", rf"\g<1>{profile}", text, count=1)
    if changed != text:
        path.write_text(changed, encoding="utf-8")
    if load_params(path).run.profile != profile:
        raise UserError(f"params.yaml: run.profile could not be set; write `profile: {profile}` under `run:` yourself")


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ParamsError(str(key), "twice", f"each key once (line {node.start_mark.line + 1} and below)")
        return super().construct_mapping(node, deep)


def _sections(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_PARAMS_BYTES:
            raise UserError(f"{path} is larger than {MAX_PARAMS_BYTES} bytes")
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run from the repository's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no sections; expected: {', '.join(Params.model_fields)}")
    for name in content:
        if name not in Params.model_fields:
            allowed = ", ".join(Params.model_fields)
            raise ParamsError(str(name), "unknown section", allowed, near_match(str(name), Params.model_fields))
    for name in Params.model_fields:
        if name not in content:
            raise ParamsError(name, None, "this section is required")
    return content


def _rows(sections: Mapping[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    rows = sections[section]
    if not isinstance(rows, dict) or not rows:
        raise ParamsError(section, rows, "a mapping of names to rows")
    for name, row in rows.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ParamsError(section, name, "a name of lower-case letters, digits, dots, hyphens and underscores")
        if not isinstance(row, dict):
            raise ParamsError(f"{section}.{name}", row, "a mapping of keys to values")
    return [(name, dict(row)) for name, row in rows.items()]


FrozenT = TypeVar("FrozenT", bound=BaseModel)


def _frozen(cls: type[FrozenT], row: Any, key: str) -> FrozenT:
    """Check one row strictly. The way through JSON lets lists stand for tuples and nothing else change its type."""
    try:
        if isinstance(row, dict) and any(isinstance(value, tuple) for value in row.values()):
            return cls.model_validate(row, strict=True)  # steps are objects already
        return cls.model_validate_json(json.dumps(row, default=str), strict=True)
    except ValidationError as error:
        raise _explained(error, cls, row, key) from None
    except UnknownNameError as error:
        raise ParamsError(key, error.name, f"a known {error.kind}: {', '.join(error.known)}", error.near) from None


def _registered(registry: Registry[type[FrozenT]], word: str, row: dict[str, Any], key: str) -> FrozenT:
    kind = row.get(word)
    if not isinstance(kind, str):
        raise ParamsError(f"{key}.{word}", kind, ", ".join(registry.names()))
    try:
        cls = registry.get(kind)
    except UnknownNameError as error:
        raise ParamsError(f"{key}.{word}", kind, ", ".join(registry.names()), error.near) from None
    return _frozen(cls, row, key)


def _steps(key: str, rows: Any) -> list[Step]:
    if not isinstance(rows, list):
        raise ParamsError(key, rows, f"a list of steps, each with a kind: {', '.join(STEPS.names())}")
    steps = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ParamsError(f"{key}[{index}]", row, f"a mapping with a kind: {', '.join(STEPS.names())}")
        steps.append(_registered(STEPS, "kind", row, f"{key}[{index}]"))
    return steps


def _scenario(row: dict[str, Any], key: str) -> Scenario:
    kinds: dict[str, type[Scenario]] = {"closed": ClosedLoop, "open": OpenLoop}
    kind = row.get("kind")
    if kind not in kinds:
        raise ParamsError(f"{key}.kind", kind, ", ".join(kinds), near_match(str(kind), kinds))
    return _frozen(kinds[kind], row, key)


def _explained(error: ValidationError, cls: type[BaseModel], row: Any, key: str) -> ParamsError:
    """The first complaint of pydantic as a ParamsError."""
    first = error.errors()[0]
    path = [part for part in first["loc"] if not (isinstance(part, str) and part.startswith(("function-", "tagged-")))]
    full = key + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    if first["type"] in ("extra_forbidden", "missing"):
        fields = _fields_at(cls, path[:-1])
        if first["type"] == "missing":
            return ParamsError(full, None, "this key is required")
        return ParamsError(full, _at(row, path), f"one of {', '.join(fields)}", near_match(str(path[-1]), fields))
    near = None
    value = _at(row, path)
    if first["type"] == "literal_error":
        near = near_match(str(value), re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", ""))))
    return ParamsError(full, value, first["msg"], near)


def _fields_at(cls: type[BaseModel], path: list[Any]) -> list[str]:
    """Field names of the class that validates the value at `path`."""
    for part in path:
        if isinstance(part, int) or part not in cls.model_fields:
            continue
        annotation = cls.model_fields[part].annotation
        candidates = [annotation, *typing.get_args(annotation)]
        if isinstance(annotation, types.UnionType):
            candidates.extend(annotation.__args__)
        classes = [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
        if classes:
            cls = classes[0]
    return [name for name in cls.model_fields if name != "name"]


def _at(row: Any, path: list[Any]) -> Any:
    for part in path:
        try:
            row = row[part]
        except (KeyError, IndexError, TypeError):
            return None
    return row


def _known(key: str, name: str, known: Mapping[str, Any] | list[str]) -> None:
    if name not in known:
        raise ParamsError(key, name, ", ".join(known), near_match(name, known))


def _check_names(params: Params) -> None:
    """Every name that one section uses is defined in another, and none is selected twice."""
    _known("run.profile", params.run.profile, params.profiles)
    selections: tuple[tuple[str, tuple[str, ...], Mapping[str, Any] | list[str]], ...] = (
        ("run.models", params.run.models, params.models),
        ("run.optimizations", params.run.optimizations, params.optimizations),
        ("run.targets", params.run.targets, TARGETS.names()),
        ("run.studies", params.run.studies, params.studies),
    )
    for key, names, known in selections:
        if not names:
            raise ParamsError(key, [], f"at least one of {', '.join(known)}")
        for name in names:
            _known(key, name, known)
            if names.count(name) > 1:
                raise ParamsError(key, name, "each name once")
    for study_name, study in params.studies.items():
        for name in study.optimizations:
            _known(f"studies.{study_name}.optimizations", name, params.optimizations)
        for name in study.scenarios:
            _known(f"studies.{study_name}.scenarios", name, params.scenarios)


def _check_combinations(params: Params) -> None:
    """Combinations that could only fail later."""
    if ORIGINAL not in params.run.optimizations:
        raise ParamsError(
            "run.optimizations", list(params.run.optimizations), f"a selection with {ORIGINAL!r}, the reference of all"
        )
    if params.optimizations[ORIGINAL].steps or params.optimizations[ORIGINAL].precision != "fp32":
        raise ParamsError(f"optimizations.{ORIGINAL}", "changed", "no steps and precision fp32: the untouched model")
    largest = max(params.compile.batch_sizes)
    if params.serve.max_batch_size > largest:
        raise ParamsError(
            "serve.max_batch_size",
            params.serve.max_batch_size,
            f"at most {largest}, the largest of compile.batch_sizes",
        )
    for name, row in params.optimizations.items():
        kinds = [step.kind for step in row.steps]
        if row.precision == "int8-static" and "calibrate" not in kinds:
            raise ParamsError(f"optimizations.{name}.steps", kinds, "a calibrate step, which int8-static needs")
        if row.precision != "int8-static" and "calibrate" in kinds:
            raise ParamsError(f"optimizations.{name}.precision", row.precision, "int8-static, which calibrate is for")
    for study_name in params.run.studies:
        study = params.studies[study_name]
        if not set(study.optimizations) & set(params.run.optimizations):
            raise ParamsError(
                f"studies.{study_name}.optimizations",
                list(study.optimizations),
                "at least one that run.optimizations selects",
            )
