"""The figure of tuning: what each trial found, and the best so far."""

from typing import TYPE_CHECKING, Any

from inferlab.report.figures import figure_html, theme
from inferlab.report.tables import engagement_caption
from inferlab.report.text import engagement_mark

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NO_VALUE_COLOUR = "#d55e00"
BEST_COLOUR = "#949494"


def trials_figure(trials: "pd.DataFrame", title: str) -> str:
    """The highest rate of each trial of one model, a panel a search; the default and the chosen one are marked."""
    import matplotlib.pyplot as plt

    theme()
    groups = list(trials.groupby(["target", "optimization"], sort=False))
    figure, axes = plt.subplots(1, len(groups), figsize=(5.2 * len(groups), 3.8), squeeze=False, layout="constrained")
    handles: dict[str, Any] = {}
    for axis, ((target, optimization), own) in zip(axes[0], groups, strict=True):
        _draw(axis, own)
        axis.set(
            title=f"{optimization}{engagement_mark(own.iloc[0].to_dict())} on {target}",
            xlabel="trial",
            ylabel="highest rate within the limit (1/s)",
        )
        axis.set_ylim(0, 1.1 * float(own["rate_per_s"].max()) or 1)
        axis.set_xticks(list(own["trial"] + 1))
        handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        axis.get_legend().remove()
    axes[0][-1].legend(
        handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, markerscale=0.8
    )
    return figure_html(
        figure,
        f"{title}: what each trial of the search found, one search of a candidate each.{engagement_caption(trials)}",
    )


def _draw(axis: "Axes", trials: "pd.DataFrame") -> None:
    import seaborn as sns

    palette = sns.color_palette("colorblind")
    looks: dict[str, dict[str, Any]] = {
        "other": {"marker": "o", "s": 45, "color": palette[0]},
        "default": {"marker": "s", "s": 90, "color": palette[1]},
        "chosen": {"marker": "*", "s": 260, "color": palette[2]},
    }
    number, rate = trials["trial"] + 1, trials["rate_per_s"]
    best = rate.cummax().ffill()
    sns.lineplot(x=number, y=best, ax=axis, drawstyle="steps-post", color=BEST_COLOUR, label="best so far")
    chosen, default = trials["chosen"].astype(bool), trials["trial"].eq(0)
    for name, which in {"other": ~chosen & ~default, "default": default, "chosen": chosen}.items():
        shown = which & rate.notna()
        if shown.any():
            axis.scatter(number[shown], rate[shown], label=name, edgecolor="white", zorder=3, **looks[name])
    failed = number[rate.isna()]
    if len(failed):
        axis.scatter(failed, 0 * failed, marker="x", color=NO_VALUE_COLOUR, label="no value", clip_on=False, zorder=3)
