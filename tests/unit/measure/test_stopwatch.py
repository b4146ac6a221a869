import math
from pathlib import Path

import numpy as np
import pytest
from serve.sessions import DamagedFactory, FakeFactory, payload

from inferlab.errors import ArtifactError
from inferlab.measure.stopwatch import TimedFactory, read_times


def test_loading_and_the_runs_of_as_many_items_are_timed(tmp_path: Path) -> None:
    session = TimedFactory(FakeFactory(delay_s=0.02), tmp_path / "times")()
    for items in (2, 1, 2, 2):
        outputs = session.run(payload(3, batch=items))
        assert outputs["embedding"].shape[0] == items
        np.testing.assert_array_equal(outputs["embedding"], 3)
    times = read_times(tmp_path / "times")
    assert times["session_load_s"] >= 0
    lines = (tmp_path / "times").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["load", "2", "1", "2", "2"]
    assert times["first_inference_s"] == float(lines[1].split()[1]) >= 0.02
    assert times["second_inference_s"] == float(lines[3].split()[1]) >= 0.02


def test_a_session_that_never_ran_has_no_times(tmp_path: Path) -> None:
    assert all(math.isnan(value) for value in read_times(tmp_path / "absent").values())
    session = TimedFactory(FakeFactory(), tmp_path / "times")()
    session.run(payload(1))
    times = read_times(tmp_path / "times")
    assert math.isnan(times["second_inference_s"])
    assert times["first_inference_s"] > 0


def test_the_session_within_stays_what_it_is(tmp_path: Path) -> None:
    session = TimedFactory(FakeFactory(), tmp_path / "times")()
    assert session.thread_safe
    session.close()
    assert session._session.closed  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError, match="is damaged"):
        TimedFactory(DamagedFactory(), tmp_path / "times")()
