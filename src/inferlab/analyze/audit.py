"""What the paper's own tables allow to conclude: Little's law, and significance for assumed sample sizes."""

import math
from dataclasses import dataclass
from typing import Any

from inferlab.analyze.paper import paper_tables
from inferlab.analyze.statistics import holm

SAMPLE_SIZES = (3, 5, 10, 30)
"""Assumed: of whatever the paper's standard deviations are over, which it does not say either."""
MOST_SAMPLES = 1000
METRICS = {"latency": "latency_{}_ms", "throughput": "throughput_{}_per_s"}
CLAIMS = (
    (("fastapi", "fp32", "none"), ("direct", "fp32", "none")),
    (("direct", "int8-static", "none"), ("direct", "fp32", "none")),
    (("direct", "fp32", "dynamic"), ("direct", "fp32", "none")),
    (("fastapi", "int8-static", "none"), ("fastapi", "fp32", "none")),
    (("fastapi", "fp32", "dynamic"), ("fastapi", "fp32", "none")),
)
"""What the paper compares: what FastAPI costs, what quantization and batching bring, without and with FastAPI."""


@dataclass(frozen=True)
class LittleCheck:
    """Requests under way, throughput × mean latency, and for each assumed sample size the interval of that."""

    configuration: dict[str, Any]
    concurrency: float
    intervals: dict[int, tuple[float, float]]

    def could_be(self, callers: float, samples: int) -> bool:
        """Whether so many callers without a pause lie in the interval for this sample size."""
        low, high = self.intervals[samples]
        return low <= callers <= high


@dataclass(frozen=True)
class ClaimCheck:
    """A difference that the paper states: Holm's p for each assumed sample size, and the smallest one that shows it."""

    metric: str
    candidate: dict[str, Any]
    reference: dict[str, Any]
    ratio: float
    p_adjusted: dict[int, float]
    fewest_samples: int | None


def little_checks(confidence: float) -> list[LittleCheck]:
    """Of each row; in a closed loop without pauses it is the number of callers (Little 1961)."""
    return [_little_check(row, confidence) for row in paper_tables()["configurations"]]


def claim_checks(confidence: float) -> list[ClaimCheck]:
    """Welch's t test of every claim and metric, corrected together (Holm), for each assumed sample size."""
    rows = {(row["path"], row["precision"], row["batching"]): row for row in paper_tables()["configurations"]}
    claims = [(metric, rows[above], rows[below]) for metric in METRICS for above, below in CLAIMS]

    def adjusted_at(samples: int) -> list[float]:
        found: list[float] = holm([_welch(*claim, samples) for claim in claims]).tolist()
        return found

    adjusted = {samples: adjusted_at(samples) for samples in SAMPLE_SIZES}
    fewest: dict[int, int] = {}
    for samples in range(2, MOST_SAMPLES + 1):
        if len(fewest) == len(claims):
            break
        for place, p_value in enumerate(adjusted_at(samples)):
            if p_value < 1 - confidence:
                fewest.setdefault(place, samples)
    return [
        ClaimCheck(
            metric=metric,
            candidate=above,
            reference=below,
            ratio=above[METRICS[metric].format("mean")] / below[METRICS[metric].format("mean")],
            p_adjusted={samples: values[place] for samples, values in adjusted.items()},
            fewest_samples=fewest.get(place),
        )
        for place, (metric, above, below) in enumerate(claims)
    ]


def _little_check(row: dict[str, Any], confidence: float) -> LittleCheck:
    """The interval is a t interval of the logarithm, whose variance is the sum of both squared relative ones over n."""
    from scipy.special import stdtrit

    concurrency = row["throughput_mean_per_s"] * row["latency_mean_ms"] / 1e3
    spread = math.hypot(
        row["latency_std_ms"] / row["latency_mean_ms"], row["throughput_std_per_s"] / row["throughput_mean_per_s"]
    )
    intervals = {}
    for samples in SAMPLE_SIZES:
        half = float(stdtrit(samples - 1, 0.5 + confidence / 2)) * spread / math.sqrt(samples)
        intervals[samples] = (concurrency * math.exp(-half), concurrency * math.exp(half))
    return LittleCheck(row, concurrency, intervals)


def _welch(metric: str, above: dict[str, Any], below: dict[str, Any], samples: int) -> float:
    from scipy.stats import ttest_ind_from_stats

    mean, deviation = METRICS[metric].format("mean"), METRICS[metric].format("std")
    found = ttest_ind_from_stats(
        above[mean], above[deviation], samples, below[mean], below[deviation], samples, equal_var=False
    )
    return float(found.pvalue)
