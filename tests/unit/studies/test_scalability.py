import pytest
from pydantic import ValidationError

from inferlab.records import PlannedScenario, PlanRecord
from inferlab.studies.base import STUDIES, ClosedLoop, LoadLevel, scenarios_of

ROW = {"name": "s", "kind": "scalability", "optimizations": ("original",), "scenarios": ("a",)}


def test_a_study_of_batching_alone_compares_with_batching() -> None:
    study = STUDIES.get("scalability")(**ROW, batchings=("dynamic",))
    rows = study.configurations("m", ["original", "quantized"], ["t"])
    assert [row.id for row in rows] == ["m/original/t/fastapi/dynamic", "m/quantized/t/fastapi/dynamic"]
    assert [row.id for row in rows if study.is_reference(row)] == ["m/original/t/fastapi/dynamic"]
    with pytest.raises(ValidationError, match="at least 1 item"):
        STUDIES.get("scalability")(**ROW, batchings=())


def test_scenarios_of_a_plan_know_their_loop() -> None:
    rows = {
        "full": {"kind": "level", "share_of_capacity": 1.0},
        "crowd": {"kind": "closed", "callers": 64},
    }
    planned = tuple(PlannedScenario(name=name, row=row) for name, row in rows.items())
    plan = PlanRecord(study="s", model="m", scenarios=planned, reference="", configurations=())
    found = scenarios_of(plan)
    assert found == {
        "full": LoadLevel(kind="level", share_of_capacity=1.0),
        "crowd": ClosedLoop(kind="closed", callers=64),
    }
    assert [scenario.loop for scenario in found.values()] == ["open", "closed"]


def test_each_limit_of_a_batch_is_a_configuration() -> None:
    study = STUDIES.get("scalability")(**ROW, batchings=("none", "dynamic"), batch_limits=(2, 4))
    rows = study.configurations("m", ["original"], ["t"])
    assert [row.id for row in rows] == [
        "m/original/t/fastapi/none",
        "m/original/t/fastapi/dynamic/batch-2",
        "m/original/t/fastapi/dynamic/batch-4",
    ]
    assert [row.largest_batch(8) for row in rows] == [1, 2, 4]
    without = STUDIES.get("scalability")(**ROW).configurations("m", ["original"], ["t"])
    assert [row.largest_batch(8) for row in without] == [1, 8]
