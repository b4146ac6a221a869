import pandas as pd

from inferlab.report.utilization import cores_note


def rows(*used: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "configuration": [f"m/original/t/{path}" for path in ("direct", "fastapi")],
            "scenario": "two-callers",
            "accelerator_cores_used": used,
            "accelerator_cores_granted": [2.0, 2.0],
        }
    )


def test_rows_that_left_cores_of_an_accelerator_idle_are_named() -> None:
    note = cores_note(rows(2.0, 1.0))
    assert "m/original/t/fastapi under two-callers used 1 of 2" in note
    assert "direct" not in note
    assert cores_note(rows(2.0, 2.0)).endswith("all that were granted were used.")


def test_where_cores_are_not_counted_nothing_is_said() -> None:
    assert cores_note(rows(float("nan"), float("nan"))) == ""
