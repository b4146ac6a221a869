"""What all figures share: the theme, the colours, and SVG with the same bytes at every run."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from inferlab.report.text import configuration_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

OPTIMIZATION_ORDER = ("original", "quantized", "pruned", "sparse")
VERDICT_COLOURS = {"better": "#029e73", "worse": "#d55e00", "tie": "#949494", "": "#949494"}


def theme() -> None:
    """seaborn's colour-blind palette on a white grid, with a fixed salt so that SVG ids repeat."""
    import matplotlib as mpl
    import seaborn as sns

    mpl.use("agg")
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        font_scale=0.85,
        rc={"svg.hashsalt": "inferlab", "svg.fonttype": "path", "axes.spines.top": False, "axes.spines.right": False},
    )


def colours(names: Sequence[str]) -> dict[str, Any]:
    """A colour of the colour-blind palette for each name; optimizations keep theirs on all pages."""
    import seaborn as sns

    palette = sns.color_palette("colorblind", 10)
    order = [name for name in OPTIMIZATION_ORDER if name in names]
    order += sorted(name for name in set(names) if name not in OPTIMIZATION_ORDER)
    places = {name: OPTIMIZATION_ORDER.index(name) for name in order if name in OPTIMIZATION_ORDER}
    free = iter(range(len(OPTIMIZATION_ORDER), 10))
    return {name: palette[places[name] if name in places else next(free) % 10] for name in order}


def with_labels(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Lines with a column `label` (target and configuration), those of a target together."""
    labels = [f"{line['target']} · {configuration_label(line)}" for line in frame.to_dict("records")]
    places = {name: place for place, name in enumerate(dict.fromkeys(frame["target"]))}
    return frame.assign(label=labels).sort_values("target", key=lambda names: names.map(places), kind="stable")


def plain_ticks(axis: "Axis") -> None:
    """On a logarithmic axis, ticks such as 5 and 20 instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def figure_html(figure: "Figure", caption: str) -> str:
    """A figure as inline SVG with its caption; wide ones scroll in their own container. Closes the figure."""
    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.S)
    width = int(figure.get_figwidth() * 72)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(caption, quote=True)}" ', 1)
    sizes = f"min-width:{min(width, 680)}px;max-width:{round(1.3 * width)}px"
    body = f'<div class="scroll"><div style="{sizes}">{svg}</div></div>'
    return f"<figure>{body}<figcaption>{escape(caption)}</figcaption></figure>"
