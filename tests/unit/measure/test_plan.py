from pathlib import Path

import pytest

from inferlab.errors import UserError
from inferlab.measure.plan import plan_study
from inferlab.records import ArtifactRecord, Configuration, PlanRecord
from inferlab.studies.base import STUDIES, ClosedLoop, LoadLevel, scenarios_of

SERVING = STUDIES.get("serving")(
    name="serving", kind="serving", optimizations=("original", "quantized"), scenarios=("one-caller",)
)
SCENARIOS = {
    "half": LoadLevel(kind="level", share_of_capacity=0.5),
    "one-caller": ClosedLoop(kind="closed", callers=1),
    "unused": ClosedLoop(kind="closed", callers=3),
}


def artifact(configuration: Configuration) -> ArtifactRecord:
    """cpu runs all; gpu is not there; old cannot do int8."""
    common = {key: getattr(configuration, key) for key in ("model", "optimization", "target")}
    if configuration.target == "gpu":
        return ArtifactRecord(**common, precision="fp32", outcome="unavailable", reason="no driver", hint="rent one")
    if configuration.target == "old" and configuration.optimization == "quantized":
        return ArtifactRecord(**common, precision="int8-static", outcome="unsupported", reason="no int8 route")
    return ArtifactRecord(**common, precision="fp32", outcome="measured", files={"a": configuration.optimization})


def test_the_reference_comes_twice_and_rows_that_cannot_run_keep_their_reason() -> None:
    plan = plan_study(SERVING, "m", ["original", "quantized"], ["old", "gpu", "cpu"], artifact, SCENARIOS)
    assert plan.reference == "m/original/old/direct/none"
    ids = [row.configuration.id for row in plan.configurations]
    assert len(ids) == len(set(ids)) == 3 * 9 + 1
    assert ids[-1] == f"{plan.reference}/twin"
    outcomes = {row.configuration.id: (row.outcome, row.reason) for row in plan.configurations}
    assert outcomes["m/quantized/old/fastapi/none"] == ("unsupported", "no int8 route")
    assert outcomes["m/original/gpu/fastapi-plain/none"] == ("unavailable", "no driver")
    assert outcomes["m/quantized/cpu/fastapi/dynamic"] == (None, "")


def test_the_first_target_that_can_run_the_original_is_the_reference() -> None:
    plan = plan_study(SERVING, "m", ["original"], ["gpu", "cpu"], artifact, SCENARIOS)
    assert plan.reference == "m/original/cpu/direct/none"


def test_the_plan_changes_only_with_artifacts_that_the_study_names() -> None:
    before = plan_study(SERVING, "m", ["original", "quantized"], ["cpu"], artifact, SCENARIOS)
    with_another = plan_study(SERVING, "m", ["original", "quantized", "pruned"], ["cpu"], artifact, SCENARIOS)
    assert with_another == before


def test_nothing_measurable_is_a_plan_without_reference() -> None:
    plan = plan_study(SERVING, "m", ["original"], ["gpu"], artifact, SCENARIOS)
    assert plan.reference == ""
    assert {row.outcome for row in plan.configurations} == {"unavailable"}


def test_rows_without_a_reference_are_the_users_error() -> None:
    def only_quantized(configuration: Configuration) -> ArtifactRecord:
        record = artifact(configuration)
        if configuration.optimization == "original":
            return record.model_copy(update={"outcome": "unsupported", "reason": "r"})
        return record

    with pytest.raises(UserError, match="its reference, the original model, can run on none"):
        plan_study(SERVING, "m", ["original", "quantized"], ["cpu"], only_quantized, SCENARIOS)


def test_a_study_covers_the_targets_that_it_names_and_the_run_selects() -> None:
    study = SERVING.model_copy(update={"targets": ("cpu", "elsewhere")})
    plan = plan_study(study, "m", ["original"], ["old", "gpu", "cpu"], artifact, SCENARIOS)
    assert {row.configuration.target for row in plan.configurations} == {"cpu"}
    assert plan.payloads == study.mix


def test_targets_come_in_the_order_of_the_study_that_names_them_else_of_the_run() -> None:
    """A breakdown stands on the first."""
    row = {"name": "b", "kind": "breakdown", "optimizations": ("original",), "scenarios": ("one-caller",)}
    for named, expected in ((("cpu", "old"), "cpu"), (None, "old")):
        study = STUDIES.get("breakdown")(**row, targets=named)
        plan = plan_study(study, "m", ["original"], ["old", "gpu", "cpu"], artifact, SCENARIOS)
        assert {planned.configuration.target for planned in plan.configurations} == {expected}


def test_the_plan_says_how_load_arrives_in_the_order_of_the_study(tmp_path: Path) -> None:
    study = SERVING.model_copy(update={"scenarios": ("one-caller", "half")})
    plan_study(study, "m", ["original"], ["cpu"], artifact, SCENARIOS).write(tmp_path / "plan.json")
    found = scenarios_of(PlanRecord.read(tmp_path / "plan.json"))
    assert list(found) == ["one-caller", "half"]
    assert found == {name: SCENARIOS[name] for name in found}


def test_scalability_has_every_batching_and_the_plain_original_as_its_reference() -> None:
    study = STUDIES.get("scalability")(
        name="s", kind="scalability", optimizations=("original", "quantized"), scenarios=("one-caller",)
    )
    plan = plan_study(study, "m", ["original", "quantized"], ["cpu"], artifact, SCENARIOS)
    assert [row.configuration.id for row in plan.configurations] == [
        "m/original/cpu/fastapi/none",
        "m/original/cpu/fastapi/dynamic",
        "m/quantized/cpu/fastapi/none",
        "m/quantized/cpu/fastapi/dynamic",
        "m/original/cpu/fastapi/none/twin",
    ]
    assert plan.reference == "m/original/cpu/fastapi/none"
