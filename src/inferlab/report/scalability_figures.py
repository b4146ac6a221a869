"""The figures of Table 4: latency against load with the knee marked, throughput against callers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inferlab.report.figures import colours, figure_html, plain_ticks, theme, with_labels
from inferlab.report.tables import engagement_caption

if TYPE_CHECKING:
    import pandas as pd

MS = 1000.0
STYLES = {"none": "-", "dynamic": "--"}
"""Of lines, by batching; colours are of optimizations."""


def latency_curves(levels: "pd.DataFrame", knees: "pd.DataFrame", title: str, interval: str) -> str:
    """Panels of p50 and p95 against what is offered in percent of the capacity, a line a configuration."""
    import matplotlib.pyplot as plt

    theme()
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True, layout="constrained")
    shares = knees.set_index("configuration")["knee_share"].to_dict()
    for axis, name in zip(axes, ("latency_p50", "latency_p95"), strict=True):
        shown = levels.dropna(subset=[f"{name}_s"])
        for configuration, lines, look in _curves(shown):
            x = 100 * lines["load"].to_numpy(dtype=float)
            y, low, high = (MS * lines[f"{name}{part}_s"].to_numpy(dtype=float) for part in ("", "_low", "_high"))
            high = np.where(np.isinf(high), y, high)
            axis.errorbar(x, y, yerr=[y - low, high - y], marker="o", markersize=4, capsize=2.5, elinewidth=1.1, **look)
            knee = 100 * shares.get(configuration, float("nan"))
            if x.min() <= knee <= x.max():
                height = np.exp(np.interp(knee, x, np.log(y)))
                axis.plot(knee, height, marker="*", markersize=15, markeredgecolor="#111827", color=look["color"])
        axis.set(yscale="log", xlabel="offered rate (% of capacity)", title=name.removeprefix("latency_"))
        axis.axvline(100, color="#949494", linewidth=1, linestyle=":")
        plain_ticks(axis.yaxis)
    axes[0].set_ylabel("latency (ms, log scale)")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    caption = (
        f"{title}: latency against load in an open loop, with {interval}s; ★ is the knee, where rate over mean latency "
        "is greatest. Right of the dotted line latency grows for as long as the load lasts."
        f"{engagement_caption(levels)}"
    )
    return figure_html(figure, caption)


def throughput_curves(crowds: "pd.DataFrame", title: str, interval: str) -> str:
    """Throughput against the number of callers, a line a configuration."""
    import matplotlib.pyplot as plt

    theme()
    figure, axis = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
    for _, lines, look in _curves(crowds):
        y = lines["throughput_mean_per_s"]
        bounds = [y - lines["throughput_low_per_s"], lines["throughput_high_per_s"] - y]
        axis.errorbar(lines["callers"], y, yerr=bounds, marker="o", markersize=4, capsize=2.5, elinewidth=1.1, **look)
    axis.set_xscale("log", base=2)
    counts = sorted(crowds["callers"].unique())
    axis.set_xticks(counts, [f"{count:g}" for count in counts])
    axis.set(xlabel="callers", ylabel="requests per second", ylim=(0, None))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure_html(
        figure, f"{title}: throughput against callers in a closed loop, with {interval}s.{engagement_caption(crowds)}"
    )


def _curves(frame: "pd.DataFrame") -> list[tuple[str, "pd.DataFrame", dict[str, Any]]]:
    """Lines of each configuration in the order of their load, and how its curve looks."""
    palette = colours(list(frame["optimization"].unique()))
    found = []
    for configuration, group in with_labels(frame).groupby("configuration", sort=False):
        lines = group.sort_values(["callers", "load"])
        first = lines.iloc[0]
        look = {"color": palette[first["optimization"]], "linestyle": STYLES[first["batching"]]}
        found.append((str(configuration), lines, {**look, "label": first["label"]}))
    return found
