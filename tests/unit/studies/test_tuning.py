from inferlab.measure.plan import plan_study
from inferlab.records import ArtifactRecord, Configuration, PlanRecord, SearchSpace
from inferlab.studies.base import STUDIES, ClosedLoop, RateSearch

SEARCH = RateSearch(kind="search", p99_limit_s=0.05, steps=5)
ROW = {"name": "t", "kind": "tuning", "optimizations": ("original", "quantized"), "scenarios": ("search",)}
SPACE = {"trials": 12, "batch_limits": (1, 8), "threads": (1, 2), "replicas": (1, 2, 4)}


def artifact(configuration: Configuration) -> ArtifactRecord:
    names = {name: getattr(configuration, name) for name in ("model", "optimization", "target")}
    return ArtifactRecord(**names, precision="fp32", outcome="measured")


def test_each_optimization_is_there_by_default_and_tuned_and_only_the_default_has_a_twin() -> None:
    study = STUDIES.get("tuning")(**ROW, **SPACE)
    plan = plan_study(study, "m", ["original", "quantized"], ["t"], artifact, {"search": SEARCH})
    assert [row.configuration.id for row in plan.configurations] == [
        "m/original/t/fastapi/dynamic",
        "m/original/t/fastapi/dynamic/tuned",
        "m/quantized/t/fastapi/dynamic",
        "m/quantized/t/fastapi/dynamic/tuned",
        "m/original/t/fastapi/dynamic/twin",
    ]
    assert plan.reference == "m/original/t/fastapi/dynamic"


def test_the_plan_carries_what_is_tried() -> None:
    study = STUDIES.get("tuning")(**ROW, **SPACE)
    plan = plan_study(study, "m", ["original"], ["t"], artifact, {"search": SEARCH})
    assert PlanRecord.model_validate_json(plan.model_dump_json()).search_space == SearchSpace(**SPACE)
    cold = STUDIES.get("cold-start")(**{**ROW, "kind": "cold-start"})
    assert plan_study(cold, "m", ["original"], ["t"], artifact, {"search": SEARCH}).search_space is None


def test_trials_are_judged_by_one_search() -> None:
    study = STUDIES.get("tuning")(**ROW, **SPACE)
    closed = ClosedLoop(kind="closed", callers=1)
    assert study.scenarios_needed([SEARCH]) == ""
    for wrong in ([], [closed], [SEARCH, SEARCH], [SEARCH, closed]):
        assert study.scenarios_needed(wrong) == "one scenario, of the kind search"
    assert STUDIES.get("cold-start")(**{**ROW, "kind": "cold-start"}).scenarios_needed([closed]) == ""
