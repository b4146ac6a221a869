"""Stage report: notebooks to pages."""

from pathlib import Path

from inferlab.params import Params


def run(params: Params, root: Path, notebook: str = "") -> None:
    """Write reports/ from every notebook of notebooks/, or from the one called `notebook`."""
    from inferlab.report.notebook import render_notebooks

    parameters = {
        "root": "..",
        "profile": params.run.profile,
        "label": params.profile.label,
        "confidence": params.analysis.confidence,
    }
    render_notebooks(root, parameters, notebook)
