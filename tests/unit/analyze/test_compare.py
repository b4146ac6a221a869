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
    assert [one.verdict for one in found.comparisons] == ["", "tie"]
    assert found.comparisons[1].p_adjusted == found.comparisons[1].p_value  # the twin is no comparison


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


def test_a_twin_without_common_rounds_is_no_floor() -> None:
    frame = blocks({"base": 1.0, "again": 1.0, "other": 1.1})
    with pytest.raises(UserError, match="--twin again: it has fewer than 2 rounds in common with base"):
        compare(
            frame[(frame["configuration"] != "again") | (frame["round"] == 3)],
            "base",
            higher_is_better=False,
            confidence=0.95,
            twin="again",
        )


@pytest.mark.parametrize("rounds", [2, 4, 6, 10])
def test_a_constant_ratio_among_others_is_sure_or_as_sure_as_they_are(rounds: int) -> None:
    frame = blocks({"base": 1.0, "b": 1.0, "c": 1.1, "d": 1.2, "e": 1.3}, rounds=rounds)
    base = frame[frame["configuration"] == "base"]
    same = base.assign(configuration="same")
    double = base.assign(configuration="double", value=2 * base["value"])
    found = compare(pd.concat([frame, same, double]), "base", higher_is_better=False, confidence=0.95)
    by_name = {one.configuration: one for one in found.comparisons}
    assert (by_name["same"].verdict, by_name["same"].p_adjusted) == ("tie", pytest.approx(1.0))
    assert by_name["double"].verdict == "worse"
    assert by_name["double"].ratio == pytest.approx(2.0)


def test_ratios_beyond_floating_point_are_still_told_apart() -> None:
    frame = pd.DataFrame(
        [
            {"configuration": name, "round": number, "value": value * (1 + 0.01 * number)}
            for number in range(6)
            for name, value in (("small", 1e-200), ("large", 1e200), ("same", 1e-200))
        ]
    )
    large, same = compare(frame, "small", higher_is_better=False, confidence=0.95).comparisons
    assert (large.ratio, large.verdict) == (math.inf, "worse")
    assert same.verdict == "tie"
    small, _ = compare(frame, "large", higher_is_better=False, confidence=0.95).comparisons
    assert (small.ratio, small.verdict) == (0.0, "better")


def test_many_rounds_take_no_memory_of_their_square() -> None:
    rng = np.random.default_rng(0)
    rounds = 20_000
    frame = pd.DataFrame(
        {
            "configuration": np.repeat(["base", "other"], rounds),
            "round": np.tile(np.arange(rounds), 2),
            "value": np.exp(rng.normal(0, 0.03, 2 * rounds)),
        }
    )
    assert compare(frame, "base", higher_is_better=False, confidence=0.95).rounds == rounds


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
        ("configuration,round,value\n,1,2\n", "row 1 .*configuration must have a name"),
        ("configuration,round,value\na,,2\n", "row 1 .*round must be a number"),
        ("configuration,round,value\nx,a,1,2\ny,a,2,2\n", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_blocks(path)


def test_names_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text("configuration,round,value\n007,1,2\n7,1,2\n1.10,1,2\nNone,1,2\nNA,1,2\n")
    assert read_blocks(path)["configuration"].tolist() == ["007", "7", "1.10", "None", "NA"]


def test_an_index_is_no_row_number_and_times_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "blocks.parquet"
    frame = pd.DataFrame({"configuration": ["a", "b"], "round": [1, 1], "value": [1.0, -1.0]}, index=["x", "y"])
    frame.to_parquet(path)
    with pytest.raises(
        UserError, match=r"row 2 \(configuration 'b', round '1.*', value '-1.0'\): value must be above 0"
    ):
        read_blocks(path)
    frame.assign(value=pd.Timestamp(2026, 1, 1)).to_parquet(path)
    with pytest.raises(UserError, match="column 'value' holds times"):
        read_blocks(path)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown kind of file '.xlsx'; known: .csv, .parquet"):
        read_blocks(tmp_path / "blocks.xlsx")
    with pytest.raises(UserError, match="there is no such file"):
        read_blocks(tmp_path / "blocks.csv")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(UserError, match="there is no such file"):
        read_blocks(tmp_path / "folder.parquet")
    (tmp_path / "blocks.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match="cannot be read"):
        read_blocks(tmp_path / "blocks.parquet")
