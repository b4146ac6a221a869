from inferlab.studies.base import STUDIES


def test_serving_has_the_full_grid_and_the_ordinary_handler() -> None:
    study = STUDIES.get("serving")(name="s", kind="serving", optimizations=("original", "quantized"), scenarios=("a",))
    rows = study.configurations("m", ["original", "quantized"], ["t"])
    grid = {(row.path, row.optimization, row.batching) for row in rows}
    assert len(rows) == len(grid) == 9
    assert ("fastapi", "quantized", "dynamic") in grid, "the configuration that the paper left out"
    assert ("fastapi-plain", "original", "none") in grid
    assert [row.id for row in rows if study.is_reference(row)] == ["m/original/t/direct/none"]
