"""Notebooks: parameters, no logic, and the same bytes at every run."""

import ast
import shutil
from pathlib import Path

import nbformat
import pytest

from inferlab.errors import ArtifactError, MeasurementError, UnknownNameError
from inferlab.report.notebook import render_notebook, without_traces
from inferlab.report.page import PAGES

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
PARAMETERS = {"root": "..", "profile": "full", "label": "", "confidence": 0.95}

pytestmark = [
    # papermill, jupyter_client and nbconvert use what their own dependencies deprecate
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("name", PAGES)
def test_notebooks_hold_parameters_and_calls_only(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"]
    for cell in code:
        assert not cell.outputs
        assert {type(node) for node in ast.parse(cell.source).body} <= {ast.Assign, ast.Expr, ast.ImportFrom}


def test_every_notebook_has_a_page() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(PAGES)


def test_a_page_has_no_code_and_equal_content_is_equal_bytes(root: Path) -> None:
    shutil.copytree(NOTEBOOKS, root / "notebooks", dirs_exist_ok=True)
    reports = root / "reports"
    written = []
    for _ in range(2):
        render_notebook(root, "throughput", PARAMETERS)
        written.append([(reports / f"throughput.{kind}").read_bytes() for kind in ("html", "ipynb")])
    assert written[0] == written[1]
    html = written[0][0].decode()
    assert "open_report" not in html
    assert "requests/s" in html
    assert html.count("<svg ") >= 2
    assert str(root).encode() not in written[0][1]


def test_a_failing_cell_is_an_error_with_its_text(tmp_path: Path) -> None:
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    with pytest.raises(MeasurementError, match=r"machines\.csv is missing"):
        render_notebook(tmp_path, "index", PARAMETERS)
    assert not (tmp_path / "reports" / "index.html").exists()


def test_unknown_and_missing_notebooks_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'latency'"):
        render_notebook(tmp_path, "latencies", PARAMETERS)
    with pytest.raises(ArtifactError, match=r"latency\.ipynb is missing"):
        render_notebook(tmp_path, "latency", PARAMETERS)


def test_times_and_random_ids_are_taken_out() -> None:
    cell = nbformat.v4.new_code_cell("1", metadata={"papermill": {"duration": 1.0}, "tags": ["parameters"]})
    cell.outputs = [nbformat.v4.new_output("stream", text="warning"), nbformat.v4.new_output("display_data")]
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"start_time": "now"}})
    without_traces(notebook)
    assert set(notebook.metadata) == {"kernelspec"}
    assert cell.metadata == {"tags": ["parameters"]}
    assert cell.id == "cell-0"
    assert [output.output_type for output in cell.outputs] == ["display_data"]
