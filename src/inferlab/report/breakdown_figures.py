"""The figure of Table 5: the stages of a request, stacked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from inferlab.report.figures import figure_html, theme, with_labels
from inferlab.report.tables import engagement_caption
from inferlab.report.text import scenario_label

if TYPE_CHECKING:
    import pandas as pd

MS = 1000.0


def stacked_bars(frame: "pd.DataFrame", title: str, stages: Mapping[str, str]) -> str:
    """Measured lines of tables/breakdown.csv: a bar a configuration, a panel a scenario, a colour a stage.

    `stages` maps columns to what they are called.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    theme()
    data = with_labels(frame)
    labels = list(dict.fromkeys(data["label"]))
    scenarios = list(dict.fromkeys(data["scenario"]))
    figure, axes = plt.subplots(
        1, len(scenarios), figsize=(12, 1.4 + 0.32 * len(labels)), sharey=True, squeeze=False, layout="constrained"
    )
    palette = sns.color_palette("colorblind", len(stages))
    for axis, scenario in zip(axes[0], scenarios, strict=True):
        lines = data[data["scenario"] == scenario].set_index("label").reindex(labels)
        left = np.zeros(len(labels))
        for (name, called), colour in zip(stages.items(), palette, strict=True):
            # A stage that is there in no request is blank, and what is left may be a rounding error below zero.
            width = np.clip(np.nan_to_num(MS * lines[f"{name}_s"].to_numpy(dtype=float)), 0, None)
            axis.barh(labels, width, left=left, color=colour, label=called, height=0.7)
            left += width
        axis.set(xlabel="mean time of a request (ms)", title=scenario_label(str(scenario)))
        axis.grid(visible=False, axis="y")
    axes[0][0].invert_yaxis()
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure_html(figure, f"{title}: where the time of a request goes.{engagement_caption(frame)}")
