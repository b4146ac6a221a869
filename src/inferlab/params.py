"""params.yaml as frozen, strict, typed classes. A wrong file stops before any work.

Rows that name a registered kind (`family`, `kind`, a data set's `name`) are checked by the class that the name stands
for, so a new kind brings its own keys.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from inferlab.data.base import DATASETS
from inferlab.errors import ParamsError, UserError, near_match
from inferlab.measure.validity import Limits
from inferlab.models.base import MODELS, Model
from inferlab.optimize.base import STEPS, Step
from inferlab.params_errors import explained
from inferlab.params_file import read_sections
from inferlab.records import Frozen, Precision
from inferlab.registry import Registry
from inferlab.studies.base import SCENARIOS, STUDIES, ProcessStart, Scenario, Study, are_starts
from inferlab.targets.base import TARGETS

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ORIGINAL = "original"

Fraction = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Run(Frozen):
    """What this run selects."""

    profile: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
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
    """How much is measured. An interval over rounds needs two of them; an invalid block is tried `attempts` times.

    With a `precision`, `rounds` is the least and rounds go on, up to `max_rounds`, until for every configuration and
    scenario half the 95 % interval over rounds of the logarithm of p50 latency is at most that (measure/precision.py).
    """

    rounds: Annotated[int, Field(ge=2, le=10_000)]
    block_s: Seconds
    warmup_s: Seconds
    max_requests: Annotated[int, Field(ge=10, le=10_000_000)]
    attempts: Annotated[int, Field(ge=1, le=10)]
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_rounds: Annotated[int, Field(ge=2, le=10_000)] | None = None

    @model_validator(mode="after")
    def _rule_is_whole(self) -> Self:
        if (self.precision is None) != (self.max_rounds is None):
            raise ValueError("precision and max_rounds together, or null for both")
        if self.max_rounds is not None and self.max_rounds < self.rounds:
            raise ValueError(f"max_rounds of at least rounds, which is {self.rounds}")
        return self


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
    request_timeout_s: Seconds


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
    scenarios: dict[str, Scenario]
    studies: dict[str, Study]
    validity: Limits
    analysis: Analysis

    @property
    def profile(self) -> Profile:
        """The profile that `run:` selects."""
        return self.profiles[self.run.profile]


def load_params(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError naming key, value, what is allowed, and a near match."""
    sections = read_sections(path, Params.model_fields)
    optimizations = {}
    for name, row in _rows(sections, "optimizations"):
        row["steps"] = tuple(_steps(f"optimizations.{name}.steps", row.get("steps")))
        optimizations[name] = _frozen(Optimization, row, f"optimizations.{name}")
    parsed: dict[str, Any] = {
        "run": _frozen(Run, sections["run"], "run"),
        "profiles": {name: _frozen(Profile, row, f"profiles.{name}") for name, row in _rows(sections, "profiles")},
        "models": {name: _model(name, row) for name, row in _rows(sections, "models")},
        "optimizations": optimizations,
        "compile": _frozen(Compile, sections["compile"], "compile"),
        "serve": _frozen(Serve, sections["serve"], "serve"),
        "scenarios": {name: _scenario(row, f"scenarios.{name}") for name, row in _rows(sections, "scenarios")},
        "studies": {
            name: _registered(STUDIES, "kind", _named(name, row, f"studies.{name}"), f"studies.{name}")
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
        return cls.model_validate_json(json.dumps(row), strict=True)
    except ValidationError as error:
        raise explained(error, cls, row, key) from None


def _named(name: str, row: dict[str, Any], key: str) -> dict[str, Any]:
    if "name" in row:
        raise ParamsError(f"{key}.name", row["name"], f"no such key; the row is called {name!r} already")
    return {**row, "name": name}


def _model(name: str, row: dict[str, Any]) -> Model:
    """A model's row. Its data set is checked first, by its own class, which knows the keys that the model does not."""
    key = f"models.{name}"
    family = _class(MODELS, "family", row, key)
    options = row.get("dataset")
    if isinstance(options, dict):
        fitting = [kind for kind in DATASETS if DATASETS.get(kind).kind == family.data_kind]
        if not fitting:
            raise ParamsError(f"{key}.dataset", options, f"no data set, since the family {row['family']} takes none")
        _registered(DATASETS, "name", options, f"{key}.dataset", fitting).check(f"{key}.dataset")
    return _frozen(family, _named(name, row, key), key)


def _registered(
    registry: Registry[type[FrozenT]], word: str, row: dict[str, Any], key: str, allowed: list[str] | None = None
) -> FrozenT:
    return _frozen(_class(registry, word, row, key, allowed), row, key)


def _class(
    registry: Registry[type[FrozenT]], word: str, row: dict[str, Any], key: str, allowed: list[str] | None = None
) -> type[FrozenT]:
    """The class that the row's `word` stands for; `allowed` are the names to choose from where not all are."""
    allowed = registry.names() if allowed is None else allowed
    return registry.get(_known(f"{key}.{word}", row.get(word), allowed))


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
    return _frozen(SCENARIOS[_known(f"{key}.kind", row.get("kind"), SCENARIOS)], row, key)


def _known(key: str, name: Any, known: Mapping[str, Any] | list[str]) -> str:
    """The name, which is one of the known ones."""
    if not isinstance(name, str) or name not in known:
        raise ParamsError(key, name, ", ".join(known), near_match(str(name), known))
    return name


def _known_once(key: str, names: tuple[str, ...], known: Mapping[str, Any] | list[str]) -> None:
    for name in names:
        _known(key, name, known)
        if names.count(name) > 1:
            raise ParamsError(key, name, "each name once")


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
        _known_once(key, names, known)
    for study_name, study in params.studies.items():
        _known_once(f"studies.{study_name}.optimizations", study.optimizations, params.optimizations)
        _known_once(f"studies.{study_name}.scenarios", study.scenarios, params.scenarios)
        _known_once(f"studies.{study_name}.targets", study.targets or (), TARGETS.names())
        _known_once(f"studies.{study_name}.target_of", tuple(getattr(study, "target_of", ())), params.models)
        if needed := study.scenarios_needed([params.scenarios[name] for name in study.scenarios]):
            raise ParamsError(f"studies.{study_name}.scenarios", list(study.scenarios), needed)


def _check_combinations(params: Params) -> None:
    """Combinations that could only fail later."""
    if ORIGINAL not in params.run.optimizations:
        raise ParamsError(
            "run.optimizations", list(params.run.optimizations), f"a selection with {ORIGINAL!r}, the reference of all"
        )
    if params.optimizations[ORIGINAL].steps or params.optimizations[ORIGINAL].precision != "fp32":
        raise ParamsError(f"optimizations.{ORIGINAL}", "changed", "no steps and precision fp32: the untouched model")
    sizes = params.compile.batch_sizes
    if len(set(sizes)) < len(sizes):
        raise ParamsError("compile.batch_sizes", list(sizes), "each size once")
    if 1 not in sizes:
        raise ParamsError(
            "compile.batch_sizes", list(sizes), "sizes with 1 among them, or every lone request is padded"
        )
    largest = max(sizes)
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
        optimizations = study.optimizations
        if ORIGINAL not in optimizations:
            raise ParamsError(
                f"studies.{study_name}.optimizations",
                list(optimizations),
                f"a selection with {ORIGINAL!r}, the reference that the study compares with",
            )
        _check_sizes(params, study_name, study)
        for model in params.run.models:
            samples = params.models[model].evaluation_count(params.profile.data.evaluation_fraction)
            if study.mix.zipf_exponent is not None and study.mix.distinct > samples:
                raise ParamsError(
                    f"studies.{study_name}.payloads.distinct",
                    study.mix.distinct,
                    f"at most {samples}, the evaluation samples of {model} in the profile {params.run.profile}",
                )


def _check_sizes(params: Params, study_name: str, study: Study) -> None:
    """Every request of a study fits into the batches of every configuration, and these into the artifacts.

    Scenarios go together.
    """
    allowed = params.serve.max_batch_size
    served = study.configurations("", study.optimizations, ("",))
    limits = [one.largest_batch(allowed) for one in served]
    limits += study.search_space.batch_limits if study.search_space else ()
    if max(limits) > allowed:
        raise ParamsError(
            f"studies.{study_name}.batch_limits", max(limits), f"at most {allowed}, which is serve.max_batch_size"
        )
    starts = are_starts(params.scenarios[name] for name in study.scenarios)
    for name in study.scenarios:
        if starts and not isinstance(params.scenarios[name], ProcessStart):
            raise ParamsError(
                f"studies.{study_name}.scenarios",
                name,
                "scenarios of the kind start alone where there is one: no other server may be up beside a cold start",
            )
        items = getattr(params.scenarios[name], "items", 1)
        if items > min(limits):
            raise ParamsError(
                f"studies.{study_name}.scenarios",
                name,
                f"scenarios of at most {min(limits)} item(s) a request, the smallest batch limit of the study",
            )
