"""Any table of rounds compared with a baseline: the statistics of the pipeline, for measurements made elsewhere."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inferlab.analyze.autocorrelation import Autocorrelation, pooled_autocorrelation
from inferlab.analyze.statistics import PairedRatio, holm, ratios_of
from inferlab.analyze.verdicts import alpha_of_step, more_rounds, noise_floor, verdict_of
from inferlab.errors import UnknownNameError, UserError, near_match

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("configuration", "round", "value")
KINDS = (".csv", ".parquet")
NO_VALUE = ["", "NA", "N/A", "NaN", "nan", "null", "None"]
FEWEST_ROUNDS = 2
LARGEST = 1e300
"""Larger numbers are none."""


@dataclass(frozen=True)
class Comparison:
    """One configuration over the baseline, paired by round; NaN where they have fewer than two rounds in common.

    `rounds_needed` is how many further rounds would separate a tie, None where none would or it is none.
    """

    configuration: str
    rounds: int
    ratio: float
    ratio_low: float
    ratio_high: float
    p_value: float
    p_adjusted: float
    verdict: str
    rounds_needed: int | None


@dataclass(frozen=True)
class Comparisons:
    """All configurations of a study against its baseline.

    `effective_rounds` is how many independent ones its `rounds` count for at their expected `autocorrelation`.
    `noise_floor` is the largest difference that the A/A twin's interval holds, as a ratio above 1; None without a twin.
    """

    baseline: str
    twin: str | None
    higher_is_better: bool
    confidence: float
    rounds: int
    autocorrelation: float
    effective_rounds: float
    noise_floor: float | None
    comparisons: list[Comparison]


def read_blocks(path: Path) -> "pd.DataFrame":
    """The columns configuration, round and value of a CSV or Parquet file, checked; rows without a value are left out.

    Raises UserError naming what is wrong with the file: its kind, a missing column, a value that is no positive number,
    a round that a configuration has twice.
    """
    frame = _read(path)
    for column in COLUMNS:
        if column not in frame.columns:
            near = near_match(column, map(str, frame.columns))
            hint = f"; is it {near!r}?" if near else ""
            raise UserError(f"--blocks {path}: there is no column {column!r}{hint}; needed: {', '.join(COLUMNS)}")
    frame = frame.reset_index(drop=True)
    frame = frame.loc[frame["value"].notna(), list(COLUMNS)]
    if frame.empty:
        raise UserError(f"--blocks {path}: it has no rows with a value")
    nameless = frame["configuration"].isna() | (frame["configuration"].astype(str) == "")
    _refuse(frame, nameless, path, "configuration must have a name")
    numbers = {column: _numbers(frame, column, path) for column in ("round", "value")}
    frame = frame.assign(configuration=frame["configuration"].astype(str), **numbers)
    _refuse(frame, ~(frame["value"] > 0), path, "value must be above 0")
    _refuse(frame, frame.duplicated(["configuration", "round"]), path, "the configuration has this round twice")
    return frame


def compare(
    blocks: "pd.DataFrame", baseline: str, *, higher_is_better: bool, confidence: float, twin: str | None = None
) -> Comparisons:
    """Every configuration over `baseline`; `blocks` as `read_blocks` gives them.

    The twin is the baseline measured twice (A/A): no difference that the interval of its ratio holds is called one, and
    it gets no verdict itself. Raises UnknownNameError for a baseline or twin that is no configuration, and UserError
    where there is nothing to compare.
    """
    values = blocks.pivot(index="round", columns="configuration", values="value").sort_index()
    names = list(dict.fromkeys(blocks["configuration"]))
    for option, name in (("--baseline", baseline), ("--twin", twin)):
        if name is not None and name not in names:
            raise UnknownNameError(option, name, names)
    if twin == baseline:
        raise UserError(f"--twin {twin}: it is the baseline itself; name its second measurement")
    others = [name for name in names if name != baseline]
    if not others:
        raise UserError(f"--baseline {baseline}: there is no other configuration to compare with it")
    logs = np.log(values[[baseline, *others]].to_numpy(dtype=float))
    autocorrelation, ratios = ratios_to_first(logs, confidence)
    most = max(ratios, key=lambda ratio: ratio.rounds)
    if most.rounds < FEWEST_ROUNDS:
        raise UserError(f"--baseline {baseline}: no configuration has {FEWEST_ROUNDS} rounds in common with it")
    of_twin = None if twin is None else ratios[others.index(twin)]
    if of_twin is not None and of_twin.rounds < FEWEST_ROUNDS:
        raise UserError(f"--twin {twin}: it has fewer than {FEWEST_ROUNDS} rounds in common with {baseline}")
    return Comparisons(
        baseline=baseline,
        twin=twin,
        higher_is_better=higher_is_better,
        confidence=confidence,
        rounds=most.rounds,
        autocorrelation=autocorrelation.mean,
        effective_rounds=most.effective_rounds,
        noise_floor=None if of_twin is None else math.exp(noise_floor(of_twin)),
        comparisons=_comparisons(others, ratios, of_twin, higher_is_better, confidence),
    )


def ratios_to_first(logs: np.ndarray, confidence: float) -> tuple[Autocorrelation, list[PairedRatio]]:
    """The autocorrelation of a study's rounds, and the ratio of each configuration to the first one.

    `logs` are logarithms, [rounds, configurations], NaN where a configuration has no such round.
    """
    autocorrelation = pooled_autocorrelation(logs)
    ratios = (logs[:, 1:] - logs[:, :1]).T
    return autocorrelation, ratios_of([ratio[~np.isnan(ratio)] for ratio in ratios], confidence, autocorrelation)


def verdicts(
    ratios: list[PairedRatio], twin: PairedRatio | None, higher_is_better: bool, confidence: float
) -> list[tuple[float, str]]:
    """Holm's p and the verdict of each ratio; none for the twin, nor where there are too few rounds in common."""
    compared = [ratio.p_value if ratio is not twin else math.nan for ratio in ratios]
    floor = 0.0 if twin is None else noise_floor(twin)

    def judge(ratio: PairedRatio, p_adjusted: float) -> str:
        if math.isnan(p_adjusted):
            return ""
        return verdict_of(ratio.log_mean, p_adjusted, floor, higher_is_better=higher_is_better, alpha=1 - confidence)

    return [
        (p_adjusted, judge(ratio, p_adjusted))
        for ratio, p_adjusted in zip(ratios, holm(compared).tolist(), strict=True)
    ]


def _comparisons(
    names: list[str], ratios: list[PairedRatio], twin: PairedRatio | None, higher_is_better: bool, confidence: float
) -> list[Comparison]:
    judged = verdicts(ratios, twin, higher_is_better, confidence)
    alpha = alpha_of_step(np.array([p_adjusted for p_adjusted, _ in judged]), 1 - confidence)

    def needed(ratio: PairedRatio, verdict: str) -> int | None:
        return more_rounds(ratio, twin, alpha, confidence) if verdict == "tie" else None

    return [
        Comparison(
            configuration=name,
            rounds=ratio.rounds,
            ratio=ratio.ratio,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            p_value=ratio.p_value,
            p_adjusted=p_adjusted,
            verdict=verdict,
            rounds_needed=needed(ratio, verdict),
        )
        for name, ratio, (p_adjusted, verdict) in zip(names, ratios, judged, strict=True)
    ]


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    kind = path.suffix.lower()
    if kind not in KINDS:
        raise UserError(f"--blocks {path}: unknown kind of file {path.suffix!r}; known: {', '.join(KINDS)}")
    if not path.is_file():
        raise UserError(f"--blocks {path}: there is no such file")
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            # Lines with more fields than the header has names: which of them is the value, nobody knows.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                index_col=False,
                dtype={"configuration": str},  # 007 and 1.10 are names
                keep_default_na=False,
                na_values={"value": NO_VALUE},
            )
    except (
        OSError,
        ValueError,
        pd.errors.ParserWarning,
    ) as error:  # pandas' and pyarrow's other errors are ValueErrors
        raise UserError(f"--blocks {path}: cannot be read: {error}") from None


def _numbers(frame: "pd.DataFrame", column: str, path: Path) -> "pd.Series[float]":
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(frame[column]) or pd.api.types.is_timedelta64_dtype(frame[column]):
        raise UserError(f"--blocks {path}: column {column!r} holds times; it must hold numbers")
    numbers = pd.to_numeric(frame[column], errors="coerce").astype(float)
    _refuse(frame, ~numbers.between(-LARGEST, LARGEST), path, f"{column} must be a number")
    return numbers


def _refuse(frame: "pd.DataFrame", wrong: "pd.Series[bool]", path: Path, why: str) -> None:
    """Raise UserError with the first row that is wrong."""
    if wrong.any():
        place = int(np.flatnonzero(wrong.to_numpy())[0])
        row = ", ".join(f"{name} {str(frame[name].iloc[place])!r}" for name in COLUMNS)
        raise UserError(f"--blocks {path}: row {frame.index[place] + 1} ({row}): {why}")
