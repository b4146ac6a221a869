"""Run notebooks with papermill and keep them, and their pages, free of what changes between equal runs."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from inferlab.errors import ArtifactError, InferlabError, MeasurementError, UnknownNameError
from inferlab.files import whole_file
from inferlab.report.page import Page, page_html, pages_of

TIMEOUT_S = 300


def render_notebooks(root: Path, parameters: dict[str, Any], name: str = "") -> None:
    """Run every notebook of notebooks/, or the one called `name`; write reports/.

    A notebook becomes reports/<name>.ipynb with its outputs and reports/<name>.html without code. Raises ArtifactError
    where there is no notebook or one does not say what page it is, UnknownNameError where none is called `name`, and
    MeasurementError with the error of a failing cell.
    """
    pages = pages_of(root / "notebooks")
    if not pages:
        raise ArtifactError(f"{root / 'notebooks'} holds no notebook; restore it from the repository")
    names = [page.name for page in pages]
    if name and name not in names:
        raise UnknownNameError("notebook", name, names)
    wanted = [name] if name else names
    waiting: SimpleQueue[str] = SimpleQueue()
    for each in wanted:
        waiting.put(each)
    _set_up()
    workers = min(len(wanted), len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(workers) as pool:
        work = [pool.submit(_render_waiting, root, waiting, pages, parameters) for _ in range(workers)]
        try:
            for each_work in work:
                each_work.result()
        finally:  # after an error or Ctrl-C nobody begins another notebook
            _drain(waiting)


def without_traces(notebook: Any) -> None:
    """Take out times, durations, warnings and random ids, so that equal content is equal bytes."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]


def _set_up() -> None:
    """Import what runs notebooks, without what they do not need."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    with _absent("rfc3987_syntax"):  # jsonschema's optional check of addresses, which parses its grammars for a second
        import nbconvert  # noqa: F401
        import papermill  # noqa: F401


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Let an optional package look as if it were not installed while the block imports others."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # documented: the import raises ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules[package]


def _render_waiting(root: Path, waiting: "SimpleQueue[str]", pages: Sequence[Page], parameters: dict[str, Any]) -> None:
    """Render notebooks one after another in one kernel, since what they import takes longer than what they do."""
    from nbconvert import HTMLExporter

    exporter: Any = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    try:
        with _kernel(root / "notebooks") as kernel:
            while name := _next(waiting):
                notebook = _executed(root / "notebooks" / f"{name}.ipynb", parameters, kernel)
                _write(root, name, notebook, pages, exporter)
    except InferlabError:
        _drain(waiting)
        raise


def _next(waiting: "SimpleQueue[str]") -> str:
    """The next notebook's name, or nothing where none is left."""
    try:
        return waiting.get_nowait()
    except Empty:
        return ""


def _drain(waiting: "SimpleQueue[str]") -> None:
    while _next(waiting):
        pass


def _write(root: Path, name: str, notebook: Any, pages: Sequence[Page], exporter: Any) -> None:
    import nbformat

    without_traces(notebook)
    body, _ = exporter.from_notebook_node(notebook)
    with whole_file(root / "reports" / f"{name}.ipynb") as part:
        nbformat.write(notebook, part)  # type: ignore[no-untyped-call]
    with whole_file(root / "reports" / f"{name}.html") as part:
        part.write_text(page_html(pages, name, body), encoding="utf-8")


@contextmanager
def _kernel(folder: Path) -> Iterator[Any]:
    """A Python kernel that works in `folder`; ends with the block."""
    from jupyter_client.manager import KernelManager

    with TemporaryDirectory() as sockets:
        kernel: Any = KernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        kernel.start_kernel(
            cwd=str(folder),
            extra_arguments=[
                "--log-level=CRITICAL",  # a kernel that is told to end reports that as an error
                "--HistoryManager.hist_file=:memory:",
            ],
        )
        try:
            yield kernel
        finally:
            kernel.shutdown_kernel(now=True)


@contextmanager
def _one_notebook(kernel: Any) -> Iterator[None]:
    """Empty the kernel's namespace after the block, and close the connections that it opened.

    So the next notebook cannot use what the last one defined; modules stay imported. nbclient leaves connections to a
    kernel that it did not start open.
    """
    opened: list[Any] = []
    connect = kernel.client

    def client(**options: Any) -> Any:
        opened.append(connect(**options))
        return opened[-1]

    kernel.client = client
    try:
        yield
        opened[-1].execute_interactive("get_ipython().reset()", silent=True, timeout=TIMEOUT_S)
    finally:
        kernel.client = connect
        for each in opened:
            each.stop_channels()


def _executed(source: Path, parameters: dict[str, Any], kernel: Any) -> Any:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        with _one_notebook(kernel):
            return papermill.execute_notebook(
                str(source),
                None,
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=TIMEOUT_S,
                km=kernel,
            )
    except PapermillExecutionError as error:
        raise MeasurementError(f"{source}: {error.ename}: {error.evalue}") from error
