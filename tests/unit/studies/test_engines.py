from inferlab.studies.base import STUDIES

STUDY = STUDIES.get("engines").model_validate(
    {"name": "engines", "kind": "engines", "optimizations": ("original", "bf16"), "scenarios": ("one-caller",)}
)


def test_every_optimization_on_every_target_without_http() -> None:
    rows = STUDY.configurations("m", ["original", "bf16"], ["cpu-eager", "cpu-openvino"])
    assert [(row.target, row.optimization) for row in rows] == [
        ("cpu-eager", "original"),
        ("cpu-eager", "bf16"),
        ("cpu-openvino", "original"),
        ("cpu-openvino", "bf16"),
    ]
    assert {(row.path, row.batching) for row in rows} == {("direct", "dynamic")}


def test_the_reference_is_the_first_original() -> None:
    rows = STUDY.configurations("m", ["original", "bf16"], ["cpu-eager", "cpu-openvino"])
    assert next(row for row in rows if STUDY.is_reference(row)) is rows[0]
    assert not STUDY.is_reference(rows[1])


def test_requests_of_several_items_fit_into_a_batch() -> None:
    (row, *_) = STUDY.configurations("m", ["original"], ["cpu-eager"])
    assert row.largest_batch(8) == 8
