import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from inferlab.analyze.compare import compare, read_blocks
from inferlab.errors import UserError


def blocks(means: dict[str, float], rounds: int = 12, noise: float = 0.02, seed: int = 0) -> pd.DataFrame:
    """Independent noise around a drift that a round shares."""
    rng = np.random.default_rng(seed)
    drift = rng.normal(0, 0.2, rounds)
    return pd.DataFrame(
        [
            {"configuration": name, "round": number, "value": mean * math.exp(drift[number] + rng.normal(0, noise))}
            for number in range(rounds)
            for name, mean in means.items()
        ]
    )


def test_differences_are_called_by_the_direction_that_is_better() -> None:
    frame = blocks({"base": 1.0, "slower": 1.3, "same": 1.0, "faster": 0.7})
    lower = compare(frame, "base", higher_is_better=False, confidence=0.95)
    assert [(one.configuration, one.verdict) for one in lower.comparisons] == [
        ("slower", "worse"),
        ("same", "tie"),
        ("faster", "better"),
    ]
    assert lower.rounds == 12
    higher = compare(frame, "base", higher_is_better=True, confidence=0.95)
    assert [one.verdict for one in higher.comparisons] == ["better", "tie", "worse"]
    slower, same, _ = lower.comparisons
    assert slower.ratio == pytest.approx(1.3, rel=0.03)
    assert slower.ratio_low < 1.3 < slower.ratio_high
    assert slower.rounds_needed is None
    assert same.rounds_needed is None or same.rounds_needed >= 1


def test_two_configurations_and_few_rounds_give_the_textbook_paired_test() -> None:
    frame = blocks({"base": 1.0, "other": 1.05}, rounds=4)
    (found,) = compare(frame, "base", higher_is_better=False, confidence=0.9).comparisons
    wide = frame.pivot(index="round", columns="configuration", values="value")
    expected = stats.ttest_rel(np.log(wide["other"]), np.log(wide["base"]))
    assert found.p_value == found.p_adjusted == pytest.approx(expected.pvalue)
    assert (found.ratio_low, found.ratio_high) == pytest.approx(tuple(np.exp(expected.confidence_interval(0.9))))


def test_a_tie_says_how_many_rounds_it_needs() -> None:
    frame = blocks({"base": 1.0, "near": 1.02, "far": 3.0}, rounds=6, noise=0.05, seed=4)
    near = compare(frame, "base", higher_is_better=False, confidence=0.95).comparisons[0]
    assert near.verdict == "tie"
    assert near.rounds_needed is not None and near.rounds_needed >= 1


def test_no_difference_that_the_twin_shows_is_called_one() -> None:
    frame = blocks({"base": 1.0, "again": 1.06, "other": 1.05}, noise=0.005)
    without = compare(frame, "base", higher_is_better=False, confidence=0.95)
    assert without.noise_floor is None
    assert without.comparisons[1].verdict == "worse"
    found = compare(frame, "base", higher_is_better=False, confidence=0.95, twin="again")
    assert found.noise_floor is not None and found.noise_floor > 1.06
    assert [one.verdict for one in found.comparisons] == ["tie", "tie"]


def test_only_common_rounds_count_and_one_is_too_few_for_a_verdict() -> None:
    frame = blocks({"base": 1.0, "short": 1.5, "other": 1.5})
    frame = frame[(frame["configuration"] != "short") | (frame["round"] == 3)]
    other, short = compare(frame, "base", higher_is_better=False, confidence=0.95).comparisons
    assert (short.rounds, short.verdict, short.rounds_needed) == (1, "", None)
    assert math.isnan(short.p_adjusted)
    assert (other.rounds, other.verdict) == (12, "worse")


def test_rounds_that_depend_on_each_other_are_said_to_count_for_fewer() -> None:
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.normal(0, 0.02, (12, 6)), axis=0)
    frame = pd.DataFrame(
        [
            {"configuration": f"c{place}", "round": number, "value": math.exp(noise[number, place])}
            for number in range(12)
            for place in range(6)
        ]
    )
    found = compare(frame, "c0", higher_is_better=False, confidence=0.95)
    assert found.autocorrelation > 0.4
    assert found.effective_rounds < 6


@pytest.mark.parametrize(
    ("baseline", "twin", "text"),
    [
        ("bass", None, "unknown --baseline 'bass'; known: base, other. Did you mean 'base'"),
        ("base", "oter", "unknown --twin 'oter'.*Did you mean 'other'"),
        ("base", "base", "--twin base: it is the baseline itself"),
    ],
)
def test_wrong_names(baseline: str, twin: str | None, text: str) -> None:
    with pytest.raises(UserError, match=text):
        compare(blocks({"base": 1.0, "other": 1.0}), baseline, higher_is_better=False, confidence=0.95, twin=twin)


def test_nothing_to_compare() -> None:
    with pytest.raises(UserError, match="no other configuration"):
        compare(blocks({"base": 1.0}), "base", higher_is_better=False, confidence=0.95)
    with pytest.raises(UserError, match="2 rounds in common"):
        compare(blocks({"base": 1.0, "other": 1.0}, rounds=1), "base", higher_is_better=False, confidence=0.95)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_files_of_both_kinds_are_read_with_more_columns_than_needed(tmp_path: Path, suffix: str) -> None:
    frame = blocks({"base": 1.0, "other": 2.0}).assign(more="x")
    path = tmp_path / f"blocks{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    found = read_blocks(path)
    assert list(found.columns) == ["configuration", "round", "value"]
    assert found["value"].to_numpy() == pytest.approx(frame["value"].to_numpy())


def test_rows_without_a_value_are_rounds_that_were_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text("configuration,round,value\n1,1,2.0\n1,2,\n2,1,3.0\n")
    assert read_blocks(path).to_numpy().tolist() == [["1", 1.0, 2.0], ["2", 1.0, 3.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("configuration,round,valu\na,1,2\n", "no column 'value'; is it 'valu'.*needed: configuration, round, value"),
        ("configuration,round,value\na,1,2\na,2,fast\n", "row 2 .*'fast'.*value must be a number"),
        ("configuration,round,value\na,one,2\n", "row 1 .*round must be a number"),
        ("configuration,round,value\na,1,2\na,2,-1\n", "row 2 .*value must be above 0"),
        ("configuration,round,value\na,1,inf\n", "row 1 .*value must be a number"),
        ("configuration,round,value\na,1,2\nb,1,2\na,1,3\n", "row 3 .*has this round twice"),
        ("configuration,round,value\n", "no rows with a value"),
        ("", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_blocks(path)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown kind of file '.xlsx'; known: .csv, .parquet"):
        read_blocks(tmp_path / "blocks.xlsx")
    with pytest.raises(UserError, match="there is no such file"):
        read_blocks(tmp_path / "blocks.csv")
    (tmp_path / "blocks.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match="cannot be read"):
        read_blocks(tmp_path / "blocks.parquet")
