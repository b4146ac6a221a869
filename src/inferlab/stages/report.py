"""Stage report@notebook: one notebook to its page."""

from pathlib import Path

from inferlab.params import Params


def run(params: Params, root: Path, notebook: str) -> None:
    """Write reports/<notebook>.ipynb and reports/<notebook>.html from notebooks/<notebook>.ipynb."""
    from inferlab.report.notebook import render_notebook

    parameters = {
        "root": "..",
        "profile": params.run.profile,
        "label": params.profile.label,
        "confidence": params.analysis.confidence,
    }
    render_notebook(root, notebook, parameters)
