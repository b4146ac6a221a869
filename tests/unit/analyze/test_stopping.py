"""By which rule rounds ended, on results of which the truth is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_results import Synthetic, write_results

from inferlab.analyze.results import ResultSet, load_results
from inferlab.analyze.stopping import stopping_table
from inferlab.measure.precision import RoundsRule

SLOW = "minilm/original/cpu-eager/fastapi/dynamic"


def measured(folder: Path, precision: float, **changes: Any) -> ResultSet:
    rule = RoundsRule(precision=precision, least_rounds=3, max_rounds=6)
    write_results(folder, Synthetic(studies=("optimization",), stop=rule, **changes))
    return load_results(folder)[0]


def test_a_fixed_number_of_rounds_has_no_line(results: ResultSet) -> None:
    assert stopping_table([results]).empty


def test_the_width_that_was_reached_is_that_of_the_least_precise(tmp_path: Path) -> None:
    found = measured(tmp_path, precision=0.5)
    line = stopping_table([found]).iloc[0]
    logs = np.log(
        found.blocks.pivot_table(index="round", columns=["configuration", "scenario"], values="latency_p50_s")
    )
    widths = 2.5706 * logs.std(ddof=1) / np.sqrt(6)  # the quantile of t with 5 degrees of freedom
    assert line["reached"] == pytest.approx(widths.max(), rel=1e-4)
    assert (line["widest"], line["widest_scenario"]) == widths.idxmax()
    assert (line["rounds"], line["least_rounds"], line["max_rounds"]) == (6, 3, 6)
    assert line["ended_by"] == "precision"


def test_a_rule_that_was_not_met_says_so(tmp_path: Path) -> None:
    assert stopping_table([measured(tmp_path / "wide", precision=0.001)]).iloc[0]["ended_by"] == "max_rounds"
    line = stopping_table([measured(tmp_path / "invalid", precision=0.5, invalid=(SLOW,))]).iloc[0]
    assert line["ended_by"] == "max_rounds"
    assert line["widest"] == SLOW
    assert np.isnan(line["reached"])
