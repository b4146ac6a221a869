"""The methodology page: docs/methodology.md, which is also to be read without any results."""

from typing import TYPE_CHECKING

from inferlab.errors import ArtifactError
from inferlab.report.source import Report

if TYPE_CHECKING:
    from IPython.display import Markdown

DOCUMENT = "docs/methodology.md"


def methodology(report: Report) -> "Markdown":
    """The document without its title, which the page has. Raises ArtifactError where it is missing."""
    from IPython.display import Markdown

    path = report.results.parent / DOCUMENT
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error}); restore it from the repository") from None
    return Markdown(text.partition("\n")[2])  # type: ignore[no-untyped-call]
