"""great_tables with the look that all pages share: row groups, spanners, muted rows for what was not measured."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from inferlab.report.text import (
    MISSING,
    NOT_ENGAGED,
    configuration_label,
    factor,
    metric_label,
    paragraph,
    scenario_label,
    why_not,
)

if TYPE_CHECKING:
    import pandas as pd

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
STUB = "stub"
GROUP = "group"
MUTED = "muted"


@dataclass(frozen=True)
class Column:
    """A column of a table: the key of its cells, its label, and the spanner above it."""

    key: str
    label: str
    spanner: str = ""
    left: bool = False
    two_lines: bool = False
    """Whether an interval goes below its value, for tables that are too wide otherwise."""
    absent: str = MISSING
    """What stands where a line has no text for the column."""


def render(
    identifier: str, lines: Sequence[dict[str, Any]], columns: Sequence[Column], stub: str, notes: Iterable[str] = ()
) -> str:
    """Lines of text as an HTML table in a container that scrolls sideways.

    Each line holds `stub` (its name), optionally `group`, `muted` (true for what was not measured) and a text for each
    column's key; a missing text is what the column says. `identifier` makes the HTML the same at every run.
    """
    import pandas as pd
    from great_tables import GT, loc, style

    grouped = any(line.get(GROUP) for line in lines)
    data = [
        {
            **({GROUP: line.get(GROUP, "")} if grouped else {}),
            STUB: line[STUB],
            **{column.key: _cell(line.get(column.key, column.absent), column) for column in columns},
        }
        for line in lines
    ]
    frame = pd.DataFrame(data, columns=list(data[0]) if data else [STUB, *(column.key for column in columns)])
    table = GT(frame, id=identifier, rowname_col=STUB, groupname_col=GROUP if grouped else None)
    table = table.tab_stubhead(label=stub).cols_label({column.key: column.label for column in columns})
    for spanner in dict.fromkeys(column.spanner for column in columns if column.spanner):
        keys = [column.key for column in columns if column.spanner == spanner]
        table = table.tab_spanner(label=spanner, columns=keys)
    right = [column.key for column in columns if not column.left]
    left = [column.key for column in columns if column.left]
    table = table.cols_align("right", columns=right) if right else table
    table = table.cols_align("left", columns=left) if left else table
    muted = [index for index, line in enumerate(lines) if line.get(MUTED)]
    if muted:
        grey = style.text(color="#6b7280")
        table = table.tab_style(grey, [loc.body(rows=muted), loc.stub(rows=muted)])
    table = table.tab_options(
        table_font_names=[FONT],
        table_font_size="12px",
        data_row_padding="4px",
        row_group_font_weight="600",
        row_group_background_color="#f3f4f6",
        column_labels_font_weight="600",
        table_border_top_style="none",
        container_overflow_x="auto",
    )
    below = "".join(paragraph(note, "note") for note in notes if note.strip())
    html = table.as_raw_html()
    for index in muted:
        if not any(column.key in lines[index] for column in columns):
            html = _spanned(html, f"{identifier}-stub-{index + 1}", len(columns) + 1)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="table">{html}</div>{below}'


def _spanned(html: str, identifier: str, width: int) -> str:
    """The table with the stub of this id across its whole row, where there is room for a reason to be read."""
    row = re.compile(
        rf'<th\b([^>]*\bid="{re.escape(identifier)}"[^>]*>[^<]*</th>)(?:\s*<td[^>]*>(?:(?!</td>).)*</td>)+', re.DOTALL
    )

    def widened(found: re.Match[str]) -> str:
        return f'<th colspan="{width}"' + found.group(1).replace('gt_stub"', 'gt_stub why"', 1)

    spanned, count = row.subn(widened, html)
    assert count == 1, f"great_tables made no row {identifier}"
    return spanned


def _cell(text: str, column: Column) -> str:
    """A cell's text; the stylesheet keeps line breaks."""
    return text.replace(" [", "\n[") if column.two_lines else text


def lines_by_target(frame: "pd.DataFrame", cells: Any) -> list[dict[str, Any]]:
    """Lines of one model: a group a target, a line a configuration, and one line for all that failed alike.

    `cells` maps the frame's lines of one configuration (one a scenario) to the texts of its columns.
    """
    lines: list[dict[str, Any]] = []
    for target, of_target in frame.groupby("target", sort=False):
        absent: dict[str, list[str]] = {}
        configurations = [group for _, group in of_target.groupby("configuration", sort=False)]
        for group in configurations:
            first = group.to_dict("records")[0]
            if not (group["outcome"] == "measured").any():
                absent.setdefault(why_not(first), []).append(configuration_label(first))
                continue
            lines.append({GROUP: str(target), STUB: configuration_label(first) + _blank(group), **cells(group)})
        for reason, labels in absent.items():
            lines.append({GROUP: str(target), STUB: _together(labels, len(configurations), reason), MUTED: True})
    return lines


def _blank(group: "pd.DataFrame") -> str:
    """Why some scenarios of a configuration have no number, where others do."""
    absent = group[group["outcome"] != "measured"].to_dict("records")
    return "".join(f"; {scenario_label(line['scenario'])} {why_not(line)}" for line in absent)


def _together(labels: list[str], of: int, reason: str) -> str:
    if len(labels) == 1:
        return f"{labels[0]}: {reason}"
    common = {label.split(" · ")[0] for label in labels}
    which = f"all {of}" if len(labels) == of else f"{len(labels)} {common.pop() if len(common) == 1 else ''}".strip()
    return f"{which} configurations: {reason}"


def noise_note(noise: "pd.DataFrame", study: str, model: str) -> str:
    """The A/A twin's noise floor of a study and model, which stands under every table."""
    found = noise[(noise["study"] == study) & (noise["model"] == model)]
    if found.empty:
        return "Noise floor: the A/A twin was not measured, so no difference in this table may be called one."
    parts = [
        f"{'latency' if str(metric).startswith('latency') else 'throughput'} {factor(lines['noise_floor'].max())}"
        for metric, lines in found.groupby("metric")
    ]
    floor = f"Noise floor from the A/A twin, at its largest over the scenarios: {', '.join(parts)}."
    return f"{floor} {twin_note(found)}".rstrip()


def twin_note(noise: "pd.DataFrame") -> str:
    """Where the A/A twin differs from the reference although it is the same configuration; blank where it does not."""
    differs = noise[noise["twin_warning"] != ""]
    if differs.empty:
        return ""
    places: dict[str, list[str]] = {}
    for line in differs.to_dict("records"):
        name = f"{scenario_label(line['scenario'])}, {metric_label(line['metric'])}"
        places.setdefault(line["twin_warning"], []).append(name)
    where = "; ".join(f"{' and '.join(names)} ({warning})" for warning, names in places.items())
    return f"▲ The twin differs from the reference: {where}. No difference below the floor is called one."


def engagement_note(frame: "pd.DataFrame") -> str:
    """Why the optimizations that are marked in a table did not take effect; blank where all did."""
    missed = frame[frame["not_engaged"] != ""]
    if "optimization" not in missed:
        return ""
    reasons: dict[str, dict[str, None]] = {}
    for line in missed.to_dict("records"):
        reasons.setdefault(line["not_engaged"], {})[f"{line['optimization']} on {line['target']}"] = None
    texts = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return f"{NOT_ENGAGED} Did not engage: {'; '.join(texts)}." if texts else ""


def engagement_caption(frame: "pd.DataFrame") -> str:
    """What the mark in a figure means, where there is one."""
    return f" {NOT_ENGAGED}: did not engage, see the tables." if (frame["not_engaged"] != "").any() else ""


def paper_columns(frame: "pd.DataFrame", columns: Sequence[Column]) -> list[Column]:
    """The columns of published values, for a model that has any."""
    names = [name for name in frame.columns if name.startswith("paper_")]
    return list(columns) if frame[names].notna().any(axis=None) else []


def paper_note(frame: "pd.DataFrame", note: str) -> str:
    """What is to be said of the published values, for a model that has any."""
    return note if paper_columns(frame, [Column("paper", "")]) else ""


def rounds_note(frame: "pd.DataFrame") -> str:
    """How many rounds stand behind the values, and how many were left out as invalid."""
    measured = frame[frame["outcome"] == "measured"]
    if measured.empty:
        return ""
    low, high = int(measured["rounds"].min()), int(measured["rounds"].max())
    count = f"{low}" if low == high else f"{low} to {high}"
    left_out = int(measured["rounds_left_out"].sum())
    blocks = "block is" if left_out == 1 else "blocks are"
    tail = f"; {left_out:,} invalid {blocks} left out" if left_out else ""
    return f"{count} rounds a value{tail}."


def bullet_list(items: Iterable[str]) -> str:
    """Plain texts as an HTML list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
