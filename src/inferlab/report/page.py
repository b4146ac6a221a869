"""The shell of every page: head, links between pages, and a stylesheet that needs nothing from elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from inferlab.errors import ArtifactError
from inferlab.report.source import Report
from inferlab.report.text import Fragment, heading, paragraph

VERSIONS_SHOWN = ("torch", "openvino", "nncf", "onnxruntime", "torch-neuronx", "fastapi", "uvicorn", "aiohttp")


@dataclass(frozen=True)
class Page:
    """A page as its notebook's metadata describe it: `title` in the links, and what the front page says it answers."""

    name: str
    title: str
    order: int
    answers: str = ""


def pages_of(notebooks: Path) -> list[Page]:
    """The pages of a folder of notebooks, in their order: each notebook is one.

    Raises ArtifactError naming the notebook whose metadata lack the title or the order.
    """
    pages = [_page(path) for path in notebooks.glob("*.ipynb")]
    return sorted(pages, key=lambda page: (page.order, page.name))


def _page(path: Path) -> Page:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        title, own = metadata["title"], metadata["inferlab"]
        return Page(name=path.stem, title=str(title), order=int(own["order"]), answers=str(own.get("answers", "")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: its metadata do not say what page it is ({type(error).__name__}: {error}); a notebook needs "
            '"title": "…" and "inferlab": {"order": 1, "answers": "…"}'
        ) from error


def page_html(pages: Sequence[Page], name: str, body: str) -> str:
    """A whole page around the output of the notebook called `name`."""
    style = files("inferlab.report").joinpath("page.css").read_text(encoding="utf-8")
    here = {name: " aria-current=page"}
    links = "".join(
        f'<a href="{escape(page.name)}.html"{here.get(page.name, "")}>{escape(page.title)}</a>' for page in pages
    )
    title = escape("inferlab: " + next(page.title for page in pages if page.name == name))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n"
        f'<body><nav aria-label="pages">{links}</nav><main>{body}</main></body></html>\n'
    )


def head(report: Report, title: str, answer: str) -> Fragment:
    """Title, what the page answers, and for each machine its hardware, versions and the plan of its cores."""
    parts = [heading(1, title)]
    if report.label:
        parts.append(paragraph(report.label, "label"))
    parts.append(paragraph(answer, "answer"))
    parts += [machine_html(found) for found in report.sets]
    if not report.sets:
        parts.append(paragraph(f"No results of the profile {report.profile!r} were collected yet; run dvc repro."))
    return Fragment("".join(parts))


def machine_html(found: dict[str, Any]) -> str:
    """One machine in a sentence, its versions in a second."""
    accelerators = found["accelerators"] or "no accelerator"
    cores = f"physical cores: {found['physical_cores']}, logical: {found['logical_cores']}"
    hardware = f"{found['cpu_model']} ({cores}), {found['memory_gib']} GiB, {accelerators}"
    packages = json.loads(found["packages"])
    versions = [f"{name} {packages[name]}" for name in VERSIONS_SHOWN if packages.get(name)]
    days = found["measured_from"] if isinstance(found["measured_from"], str) else ""
    if days and found["measured_to"] != found["measured_from"]:
        days = f"{days} to {found['measured_to']}"
    counts = f"{found['rounds']} rounds, {found['blocks']} blocks, {found['blocks_invalid']} of them invalid"
    which = "This run" if found["this_run"] in (True, "True") else "Another run"
    source = "" if found["provenance"] == "hardware" else f" Provenance: {found['provenance']}."
    return (
        f'<div class="machine"><b>{which}: {escape(found["machine"])}</b> · machine {escape(found["machine_id"])} · '
        f"{escape(hardware)}<br>"
        f"Python {escape(', '.join([str(found['python']), *versions]))} · environment "
        f"{escape(found['environment_id'])}<br>Profile {escape(found['profile'])}: {counts}"
        f"{', measured on ' + escape(days) if days else ''}. Cores: {escape(found['core_plan'])}.{escape(source)}</div>"
    )


def machine_heading(report: Report, found: dict[str, Any]) -> str:
    """A heading that names the machine, where a page shows more than one."""
    if len(report.sets) < 2:
        return ""
    where = f"machine {found['machine_id']}, environment {found['environment_id']}"
    return f'<h2 title="{escape(where)}">{escape(found["machine"])}</h2>'


def on_machine(report: Report, found: dict[str, Any], text: str) -> str:
    """A text with the machine's name behind it, where a page shows more than one."""
    return f"{text} · {found['machine']}" if len(report.sets) > 1 else text
