"""Notebooks: parameters, no logic, and the same bytes at every run."""

import ast
import os
import shutil
from pathlib import Path

import nbformat
import pytest

from inferlab.errors import ArtifactError, MeasurementError, UnknownNameError
from inferlab.report.notebook import render_notebooks, without_traces
from inferlab.report.page import pages_of

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
NAMES = [page.name for page in pages_of(NOTEBOOKS)]
PARAMETERS = {"root": "..", "profile": "full", "label": "", "confidence": 0.95}

pytestmark = [
    # papermill, jupyter_client and nbconvert use what their own dependencies deprecate
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_hold_parameters_and_calls_only(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"]
    for cell in code:
        assert not cell.outputs
        assert {type(node) for node in ast.parse(cell.source).body} <= {ast.Assign, ast.Expr, ast.ImportFrom}


@pytest.fixture
def repository(root: Path) -> Path:
    """A root with tables and the repository's notebooks."""
    shutil.copytree(NOTEBOOKS, root / "notebooks", dirs_exist_ok=True)
    shutil.copytree(NOTEBOOKS.parent / "docs", root / "docs", dirs_exist_ok=True)
    shutil.rmtree(root / "reports", ignore_errors=True)
    return root


def test_every_notebook_becomes_a_page_as_if_it_were_alone(repository: Path) -> None:
    render_notebooks(repository, PARAMETERS)
    reports = repository / "reports"
    written = {path.name: path.read_bytes() for path in reports.iterdir()}
    assert set(written) == {f"{name}.{kind}" for name in NAMES for kind in ("html", "ipynb")}
    html = written["throughput.html"].decode()
    assert "open_report" not in html
    assert "requests/s" in html
    assert html.count("<svg ") >= 2
    assert 'href="methodology.html"' in html
    methodology = written["methodology.html"].decode()
    assert methodology.count("<h1") == 1
    assert "What a verdict means" in methodology and "<td>tie</td>" in methodology
    for name in NAMES:
        assert str(repository).encode() not in written[f"{name}.ipynb"]
        notebook = nbformat.reads(written[f"{name}.ipynb"].decode(), as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.metadata.get("tags") for cell in code[:2]] == [["parameters"], ["injected-parameters"]]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for name in NAMES[-1:]:  # alone, in a kernel in which nothing ran before
        render_notebooks(repository, PARAMETERS, name)
        assert {kind: (reports / f"{name}.{kind}").read_bytes() for kind in ("html", "ipynb")} == {
            kind: written[f"{name}.{kind}"] for kind in ("html", "ipynb")
        }


def test_a_notebook_sees_nothing_of_the_one_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # one kernel for both
    for place, (name, source) in enumerate({"first": "left_behind = 1", "second": "left_behind"}.items()):
        write_notebook(tmp_path, name, source, title=name, inferlab={"order": place})
    with pytest.raises(MeasurementError, match=r"second\.ipynb: NameError.*left_behind"):
        render_notebooks(tmp_path, {})
    assert (tmp_path / "reports" / "first.html").is_file()
    assert not (tmp_path / "reports" / "second.html").exists()


def write_notebook(root: Path, name: str, source: str, **metadata: object) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)], metadata=metadata)
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


def test_a_failing_cell_is_an_error_with_its_text(tmp_path: Path) -> None:
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    with pytest.raises(MeasurementError, match=r"machines\.csv is missing"):
        render_notebooks(tmp_path, PARAMETERS, "index")
    assert not (tmp_path / "reports" / "index.html").exists()


def test_unknown_and_missing_notebooks_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no notebook"):
        render_notebooks(tmp_path, PARAMETERS)
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    with pytest.raises(UnknownNameError, match="Did you mean 'latency'"):
        render_notebooks(tmp_path, PARAMETERS, "latencies")


def test_a_notebook_that_does_not_say_what_page_it_is_is_named(tmp_path: Path) -> None:
    write_notebook(tmp_path, "mine", "1", title="Mine")
    with pytest.raises(ArtifactError, match=r"mine\.ipynb.*inferlab.*order"):
        pages_of(tmp_path / "notebooks")


def test_a_new_notebook_is_a_page_without_another_edit(tmp_path: Path) -> None:
    write_notebook(tmp_path, "b", "1", title="Bee", inferlab={"order": 1, "answers": "what buzzes"})
    write_notebook(tmp_path, "a", "1", title="Ay", inferlab={"order": 2})
    assert [(page.title, page.answers) for page in pages_of(tmp_path / "notebooks")] == [
        ("Bee", "what buzzes"),
        ("Ay", ""),
    ]


def test_times_and_random_ids_are_taken_out() -> None:
    cell = nbformat.v4.new_code_cell("1", metadata={"papermill": {"duration": 1.0}, "tags": ["parameters"]})
    cell.outputs = [nbformat.v4.new_output("stream", text="warning"), nbformat.v4.new_output("display_data")]
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"start_time": "now"}})
    without_traces(notebook)
    assert set(notebook.metadata) == {"kernelspec"}
    assert cell.metadata == {"tags": ["parameters"]}
    assert cell.id == "cell-0"
    assert [output.output_type for output in cell.outputs] == ["display_data"]
