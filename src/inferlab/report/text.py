"""Numbers and names as text: three significant digits, a thin line where there is no value."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

MISSING = "–"
NOT_ENGAGED = "\N{DAGGER}"


class Fragment:
    """A piece of a page; notebooks show it as HTML."""

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "Fragment of a report page"


def missing(value: Any) -> bool:
    """Whether a table cell is blank."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def number(value: Any, scale: float = 1.0, digits: int = 3) -> str:
    """A number with `digits` significant digits, thousands separated; a dash where there is none."""
    if missing(value):
        return MISSING
    scaled = float(value) * scale
    if scaled == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(scaled)))
    rounded = round(scaled, decimals)
    return f"{rounded:,.{max(decimals if abs(rounded) < 10 ** (digits - decimals) else decimals - 1, 0)}f}"


def p_value(value: Any) -> str:
    """A p-value with two significant digits; how small one below 0.0001 is tells nothing."""
    return "< 0.0001" if not missing(value) and value < 0.0001 else number(value, digits=2)


def with_interval(value: Any, low: Any, high: Any, scale: float = 1.0, digits: int = 3) -> str:
    """A value and its interval, which may have no upper end."""
    if missing(value):
        return MISSING
    if missing(low) or missing(high):
        return number(value, scale, digits)
    if math.isinf(high):
        return f"{number(value, scale, digits)} [{number(low, scale, digits)}, …]"
    return f"{number(value, scale, digits)} [{number(low, scale, digits)}, {number(high, scale, digits)}]"


def published(value: Any, spread: Any = None) -> str:
    """A published value as it was printed; blank where none was, since nobody tried to measure it here."""
    if missing(value):
        return ""
    return f"{value:g}" if missing(spread) else f"{value:g} ± {spread:g}"


def factor(log_ratio: Any) -> str:
    """A log ratio as the factor by which a value may be larger or smaller."""
    if missing(log_ratio):
        return MISSING
    ratio = math.exp(abs(float(log_ratio)))
    return f"×/÷ {ratio:.3f}" if ratio < 1.1 else f"×/÷ {ratio:,.2f}"


def percent(value: Any, decimals: int = 1) -> str:
    """A fraction in percent, with fixed decimals so that a column lines up."""
    return MISSING if missing(value) else f"{100 * float(value):.{decimals}f} %"


def percent_interval(value: Any, low: Any, high: Any, decimals: int = 1, signed: bool = False) -> str:
    """A fraction in percent and its interval."""
    if missing(value):
        return MISSING
    form = f"{{:{'+' if signed else ''}.{decimals}f}}"
    found = [form.format(100 * float(part)).replace("-", "−") for part in (value, low, high) if not missing(part)]
    return f"{found[0]} [{found[1]}, {found[2]}]" if len(found) == 3 else found[0]


def metric_label(name: str) -> str:
    """A metric's column as words."""
    return {"latency_p50_s": "p50 latency", "throughput_per_s": "throughput"}[name]


def scenario_label(name: str) -> str:
    """A scenario's name as words."""
    return str(name).replace("-", " ")


def configuration_label(line: dict[Any, Any]) -> str:
    """What tells the configurations of one model and target apart."""
    batching = "batching" if line["batching"] == "dynamic" else "no batching"
    limit = line.get("batch_limit")
    batching += "" if missing(limit) else f" up to {limit:g}"
    handler = "" if missing(line.get("handler")) else f" ({line['handler'].replace('-', ' ')})"
    share = line.get("cache_share", 0)
    cache = "" if missing(share) or not share else f" · cache of {100 * share:g}\N{NO-BREAK SPACE}%"
    tuned = " · tuned" if line.get("tuned") in (True, "True") else ""
    twin = " (A/A twin)" if line.get("twin") in (True, "True") else ""
    return f"{line['optimization']}{engagement_mark(line)} · {line['path']}{handler} · {batching}{cache}{tuned}{twin}"


def engagement_mark(line: Mapping[Any, Any]) -> str:
    """What follows the name of an optimization that did not take effect; tables.engagement_note says why."""
    return "" if missing(line.get("not_engaged")) else NOT_ENGAGED


def why_not(line: dict[Any, Any]) -> str:
    """Outcome, reason and hint of what was not measured, as one sentence."""
    reason = "" if missing(line["reason"]) else f": {line['reason']}"
    word = "how to get it" if line["outcome"] == "unavailable" else "what to do"
    hint = "" if missing(line["hint"]) else f" ({word}: {line['hint']})"
    return f"{line['outcome']}{reason}{hint}"


def not_selected(study: str) -> str:
    """An HTML paragraph in the place of a study's tables where there are none."""
    return paragraph(
        "The study was not measured: this run does not select it, or none of the targets that it covers. Select it "
        f"with run.studies in params.yaml, or once with dvc exp run -S 'run.studies=[{study}]'."
    )


def heading(level: int, text: str) -> str:
    """An HTML heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, name: str = "") -> str:
    """An HTML paragraph of plain text."""
    return f'<p class="{name}">{escape(text)}</p>' if name else f"<p>{escape(text)}</p>"
