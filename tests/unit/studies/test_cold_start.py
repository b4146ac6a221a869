from inferlab.studies.base import STUDIES, ClosedLoop, ProcessStart, are_starts

ROW = {"name": "c", "kind": "cold-start", "optimizations": ("original", "quantized"), "scenarios": ("a",)}


def test_every_path_is_started_and_direct_on_each_target_may_be_the_reference() -> None:
    study = STUDIES.get("cold-start")(**ROW)
    rows = study.configurations("m", ["original", "quantized"], ["t", "u"])
    of_one_target = [row.id for row in rows if row.target == "t"]
    assert of_one_target == [
        "m/original/t/direct/none",
        "m/original/t/fastapi/none",
        "m/original/t/fastapi/dynamic",
        "m/original/t/fastapi-plain/none",
        "m/quantized/t/direct/none",
        "m/quantized/t/fastapi/none",
        "m/quantized/t/fastapi/dynamic",
    ]
    assert len(rows) == 2 * len(of_one_target)
    assert [row.id for row in rows if study.is_reference(row)] == [f"m/original/{name}/direct/none" for name in "tu"]


def test_one_scenario_of_the_kind_makes_a_study_of_starts() -> None:
    start, loop = ProcessStart(kind="start"), ClosedLoop(kind="closed", callers=1)
    assert are_starts([loop, start])
    assert not are_starts([loop])
    assert start.loop == "open"
