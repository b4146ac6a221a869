"""Report: the notebook's parameters come from params.yaml."""

from pathlib import Path
from typing import Any

import pytest

from inferlab.params import Params
from inferlab.report import notebook
from inferlab.stages import report

from .conftest import with_run


def test_profile_label_and_confidence_reach_the_notebook(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(notebook, "render_notebooks", lambda *arguments: seen.extend(arguments))
    report.run(with_run(params, profile="quick"), tmp_path, notebook="latency")
    expected = {"root": "..", "profile": "quick", "label": "quick: low confidence", "confidence": 0.95}
    assert seen == [tmp_path, expected, "latency"]
