from inferlab.studies.base import STUDIES


def test_optimization_serves_every_variant_alike() -> None:
    study = STUDIES.get("optimization")(name="o", kind="optimization", optimizations=("original",), scenarios=("a",))
    rows = study.configurations("m", ["original", "pruned", "sparse"], ["t", "u"])
    assert len(rows) == 6
    assert {(row.path, row.batching) for row in rows} == {("fastapi", "dynamic")}
    assert [row.id for row in rows if study.is_reference(row)] == [
        "m/original/t/fastapi/dynamic",
        "m/original/u/fastapi/dynamic",
    ]
