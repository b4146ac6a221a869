"""The audit of the paper's tables: what they say of themselves. Nothing on this page was measured here."""

from typing import Any

from inferlab.analyze.audit import SAMPLE_SIZES, ClaimCheck, LittleCheck, claim_checks, little_checks
from inferlab.analyze.paper import paper_tables
from inferlab.report.source import Report
from inferlab.report.tables import GROUP, STUB, Column, render
from inferlab.report.text import MISSING, Fragment, heading, p_value, paragraph, published, with_interval

PATHS = {"direct": "direct", "fastapi": "FastAPI"}
PRECISIONS = {"fp32": "", "int8-static": "quantized"}
BATCHING = {"none": "", "dynamic": "batching"}


def row_label(row: dict[str, Any]) -> str:
    """A row of the paper by what makes it."""
    parts = (PATHS[row["path"]], PRECISIONS[row["precision"]], BATCHING[row["batching"]])
    return " · ".join(part for part in parts if part)


def little_table(report: Report) -> Fragment:
    """Throughput × latency of each row, with the interval for each assumed sample size."""
    checks = little_checks(report.confidence)
    columns = [
        Column("latency", "latency, ms"),
        Column("throughput", "requests/s"),
        Column("concurrency", "requests under way"),
        *(
            Column(f"n{samples}", f"if n = {samples}", f"{report.interval} of the requests under way")
            for samples in SAMPLE_SIZES
        ),
    ]
    few, many = SAMPLE_SIZES[0], SAMPLE_SIZES[-1]
    one = [row_label(check.configuration) for check in checks if check.could_be(1, many)]
    never = [row_label(check.configuration) for check in checks if not check.could_be(1, few)]
    notes = [
        f"Latency and throughput: mean ± standard deviation as printed ({paper_tables()['source']}). "
        "The paper states no sample size; intervals are for assumed ones.",
    ]
    parts = [
        heading(2, "Little's law: throughput × latency is the number of requests under way"),
        render("little", [_little_line(check) for check in checks], columns, "the paper's row", notes),
        paragraph(
            f"One caller who sends the next request at once has one request under way. Even with n = {many} that "
            f"can be: {_listed(one)}. The throughput of these rows is the inverse of their latency, and says no more."
        ),
        paragraph(
            f"It cannot be, even with n = {few}: {_listed(never)}. There the caller waited between requests, or the "
            "two tables come from different runs; either way the throughput is no measure of what the server can do."
        ),
        paragraph(
            "No row has more than one request under way. Dynamic batching puts requests together that wait at the same "
            "time: with one caller there are none, so whatever made the rows with batching faster, it was not that, "
            "unless a request was itself a batch, which the paper does not say."
        ),
    ]
    return Fragment("".join(parts))


def claim_table(report: Report) -> Fragment:
    """Every difference that the paper states, with Holm's p for each assumed sample size."""
    checks = claim_checks(report.confidence)
    columns = [
        Column("ratio", "ratio of the means"),
        *(Column(f"n{samples}", f"if n = {samples}", "Holm p") for samples in SAMPLE_SIZES),
        Column("fewest", "smallest n that shows it"),
    ]
    alpha = 1 - report.confidence
    largest = [check for check in checks if check.fewest_samples is not None]
    needed = max((check.fewest_samples or 0 for check in largest), default=0)
    shown = {samples: sum(check.p_adjusted[samples] < alpha for check in checks) for samples in SAMPLE_SIZES}
    counts = ", ".join(f"{count} with n = {samples}" for samples, count in shown.items())
    notes = [
        "Welch's t test from the printed means and standard deviations, corrected together over all lines (Holm). "
        "It takes the samples for independent, which successive requests to one server are not: if the standard "
        "deviations are over requests, fewer count, and n has to be larger.",
    ]
    parts = [
        heading(2, "Significance, for assumed sample sizes"),
        render("claims", [_claim_line(check) for check in checks], columns, "claim", notes),
        paragraph(
            f"Of {len(checks)} differences are significant: {counts}. With n = {needed} all "
            f"{'are' if len(largest) == len(checks) else 'are that ever will be'}. Each row is one set-up on one "
            "machine, measured once as far as the paper says: what another day, another instance or another process "
            "start would change is in no standard deviation of the paper, and so in no test on this page."
        ),
    ]
    return Fragment("".join(parts))


def _little_line(check: LittleCheck) -> dict[str, Any]:
    row = check.configuration
    line = {
        STUB: row_label(row),
        "latency": published(row["latency_mean_ms"], row["latency_std_ms"]),
        "throughput": published(row["throughput_mean_per_s"], row["throughput_std_per_s"]),
        "concurrency": f"{check.concurrency:.2f}",
    }
    return line | {f"n{samples}": f"{low:.2f} to {high:.2f}" for samples, (low, high) in check.intervals.items()}


def _claim_line(check: ClaimCheck) -> dict[str, Any]:
    line = {
        GROUP: check.metric,
        STUB: f"{row_label(check.candidate)} against {row_label(check.reference)}",
        "ratio": with_interval(check.ratio, None, None),
        "fewest": MISSING if check.fewest_samples is None else f"{check.fewest_samples:,}",
    }
    texts = {f"n{samples}": p_value(p) for samples, p in check.p_adjusted.items()}
    return line | texts


def _listed(names: list[str]) -> str:
    return "; ".join(names) if names else "no row"
