from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.errors import UserError
from inferlab.load import trace
from inferlab.load.trace import TraceArrivals, read_trace

MOMENTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50).map(sorted)


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


@given(MOMENTS, st.floats(0.001, 1e6))
def test_a_trace_is_replayed_from_its_first_moment_and_cut_at_the_blocks_end(
    moments_s: list[float], duration_s: float
) -> None:
    due_s = TraceArrivals(np.array(moments_s)).schedule(duration_s, seed=0)
    assert due_s[0] == 0
    assert due_s.tolist() == [moment - moments_s[0] for moment in moments_s if moment - moments_s[0] < duration_s]


@given(MOMENTS)
def test_the_whole_trace_is_due_within_its_own_duration(moments_s: list[float]) -> None:
    arrivals = TraceArrivals(np.array(moments_s))
    assert len(arrivals.schedule(arrivals.duration_s, seed=0)) == len(moments_s)


@pytest.mark.parametrize(
    "text",
    [
        "0\n0.25\n0.25\n1e0\n",
        "\n0\n\n0.25\n 0.25\n1.0",
        "timestamp_s\n0\n0.25\n0.25\n1\n",
        'user,timestamp_s\r\nann,0\r\n"b, c",0.25\r\nd,0.25\r\ne,1\r\n',
    ],
)
def test_text_and_csv_files_are_read(tmp_path: Path, text: str) -> None:
    arrivals = read_trace(written(tmp_path, text), most=4)
    assert arrivals.moments_s.tolist() == [0.0, 0.25, 0.25, 1.0]
    assert arrivals.duration_s == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\nsoon\n", r"trace.csv: line 3: 'soon' is not allowed; allowed: a finite number .* before it \(2.0\)"),
        ("1\n\n0.5\n", r"line 3: '0.5' is not allowed"),
        ("1\nnan\n", r"line 2: 'nan' is not allowed"),
        ("inf\n", r"line 1: 'inf' is not allowed; allowed: a finite number of seconds$"),
        ("time\n1\n", r"line 1: 'time' is neither a timestamp in seconds nor a header with a column 'timestamp_s'"),
        ("user,timestamp_s\nann\n", r"line 2: '' is not allowed"),
        ("", "holds no timestamp"),
        ("timestamp_s\n", "holds no timestamp"),
        ("1\n2\n3\n4\n", r"line 4: a trace may hold 3 timestamps"),
    ],
)
def test_an_error_names_file_line_value_and_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_trace(written(tmp_path, text), most=3)


def test_what_is_no_text_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_trace(tmp_path, most=3)
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no text file"):
        read_trace(path, most=3)
    monkeypatch.setattr(trace, "MOST_BYTES", 2)
    with pytest.raises(UserError, match="has 3 bytes; a trace may have 2"):
        read_trace(path, most=3)
