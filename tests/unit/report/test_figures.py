"""Colours and SVG."""

import pandas as pd

from inferlab.report.figures import colours, figure_html, theme, with_labels


def test_optimizations_keep_their_colour_on_all_pages() -> None:
    assert colours(["pruned", "original"])["pruned"] == colours(["pruned", "distilled"])["pruned"]
    assert len(set(colours(["original", "quantized", "pruned", "sparse", "distilled"]).values())) == 5


def test_labels_keep_the_configurations_of_a_target_together() -> None:
    common = {"optimization": "original", "path": "direct", "batching": "none", "twin": False}
    frame = pd.DataFrame([{**common, "target": target} for target in ("a", "b", "a")])
    assert [label.split(" ")[0] for label in with_labels(frame)["label"]] == ["a", "a", "b"]


def test_a_caption_is_escaped() -> None:
    import matplotlib.pyplot as plt

    theme()
    figure, _ = plt.subplots(figsize=(1, 1))
    html = figure_html(figure, 'a "b" < c')
    assert "<figcaption>a &quot;b&quot; &lt; c</figcaption>" in html
    assert html.startswith("<figure>")
