import json
import sys
from pathlib import Path

import pytest

from inferlab import cli

LINES = ["configuration,round,value"] + [
    f"{name},{number},{value * (1 + 0.01 * (number % 3) + wobble * (number % 2 - 0.5))}"
    for number in range(8)
    for name, value, wobble in (("base", 1.0, 0.0), ("again", 1.0, 0.001), ("slow", 1.5, 0.002))
]


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    path = tmp_path / "blocks.csv"
    path.write_text("\n".join(LINES))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["inferlab", "compare", *arguments])
    cli.main()


def test_json_has_what_was_asked_for(
    blocks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "--blocks", str(blocks), "--baseline", "base", "--twin", "again", "--json")
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in ("baseline", "higher_is_better", "confidence", "rounds")} == {
        "baseline": "base",
        "higher_is_better": False,
        "confidence": 0.95,
        "rounds": 8,
    }
    again, slow = found["comparisons"]
    assert (again["configuration"], again["verdict"], again["p_adjusted"]) == ("again", "", None)
    assert slow["verdict"] == "worse"
    assert slow["ratio"] == pytest.approx(1.5, rel=0.01)
    assert slow["ratio_low"] < slow["ratio"] < slow["ratio_high"]
    assert set(slow) >= {"configuration", "ratio", "ratio_low", "ratio_high", "p_value", "p_adjusted", "rounds_needed"}


def test_what_cannot_be_computed_is_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text("\n".join([*LINES, "short,1,3.0"]))
    with pytest.raises(SystemExit):
        run(monkeypatch, "--blocks", str(path), "--baseline", "base", "--higher-is-better", "--json")
    *_, slow, short = json.loads(capsys.readouterr().out)["comparisons"]
    assert slow["verdict"] == "better"
    assert (short["p_value"], short["ratio_low"], short["verdict"]) == (None, None, "")


def test_the_table_says_how_it_was_made(
    blocks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "--blocks", str(blocks), "--baseline", "base", "--confidence", "0.9")
    text = capsys.readouterr().out
    assert "slow" in text and "worse" in text
    assert "tie (" in text and "would separate it)" in text
    assert "Ratio to base, paired by round; lower is better; 90 % intervals; no A/A twin." in text
    assert "8 rounds, which count for" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--baseline", "bas"), "Did you mean 'base'"),
        (("--baseline", "base", "--twin", "agian"), "Did you mean 'again'"),
    ],
)
def test_a_wrong_name_ends_with_2(
    blocks: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    text: str,
) -> None:
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "--blocks", str(blocks), *arguments)
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert text in captured.err and not captured.out
