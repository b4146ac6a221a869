"""Run a notebook with papermill and keep it, and its page, free of what changes between equal runs."""

import os
from pathlib import Path
from typing import Any

from inferlab.errors import ArtifactError, MeasurementError, UnknownNameError
from inferlab.records import whole_file
from inferlab.report.page import PAGES, page_html

TIMEOUT_S = 300


def render_notebook(root: Path, name: str, parameters: dict[str, Any]) -> None:
    """Run notebooks/<name>.ipynb; write reports/<name>.ipynb with its outputs and reports/<name>.html without code.

    Raises UnknownNameError for a notebook that has no page, ArtifactError where it is missing, and MeasurementError
    with the error of a failing cell.
    """
    if name not in PAGES:
        raise UnknownNameError("notebook", name, PAGES)
    source = root / "notebooks" / f"{name}.ipynb"
    if not source.is_file():
        raise ArtifactError(f"{source} is missing; restore it from the repository")
    notebook = _executed(source, parameters)
    without_traces(notebook)
    import nbformat
    from nbconvert import HTMLExporter

    exporter: Any = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    with whole_file(root / "reports" / f"{name}.ipynb") as part:
        nbformat.write(notebook, part)  # type: ignore[no-untyped-call]
    with whole_file(root / "reports" / f"{name}.html") as part:
        part.write_text(page_html(name, body), encoding="utf-8")


def without_traces(notebook: Any) -> None:
    """Take out times, durations, warnings and random ids, so that equal content is equal bytes."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]


def _executed(source: Path, parameters: dict[str, Any]) -> Any:
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    try:
        return papermill.execute_notebook(
            str(source),
            None,
            parameters=parameters,
            kernel_name="python3",
            cwd=str(source.parent),
            progress_bar=False,
            execution_timeout=TIMEOUT_S,
            extra_arguments=["--log-level=CRITICAL"],  # a kernel that is told to end reports that as an error
            config=Config(KernelManager={"transport": "ipc"}),
        )
    except PapermillExecutionError as error:
        raise MeasurementError(f"{source}: {error.ename}: {error.evalue}") from error
