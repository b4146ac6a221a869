"""What a deployment did, for Prometheus: cheap to note at each request, added up when it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from inferlab.serve.timings import Timings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from inferlab.serve.bounded_http import Connections
    from inferlab.serve.deployment import Deployment

STAGES = ("parse", "queue", "batch", "infer", "serialize")
BATCH_STAGES = frozenset({"queue", "batch", "infer"})
BOUNDS_S = (
    *(round(step * 10.0**power, 9) for power in range(-5, 1) for step in (1.0, 2.5, 5.0)),
    10.0,
)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NOTED_AT_MOST = 8192
"""Timings are kept so far before they are added up."""
NO_DEPLOYMENT = "_none"
"""The label of requests that reached none; a deployment's name begins with a letter or a digit."""


class Meter:
    """Histograms of a deployment's answered requests, and counts of all by HTTP status.

    Answers from the response cache were in no batch: they count in the stages parse and serialize alone.
    """

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self._noted: list[Timings] = []
        self._counts = np.zeros((len(STAGES), len(BOUNDS_S) + 1), dtype=np.int64)
        self._batch_counts = np.zeros(len(BATCH_BOUNDS) + 1, dtype=np.int64)
        self._sums_s = np.zeros(len(STAGES))
        self._batch_sum = 0

    def answered(self, timings: Timings) -> None:
        """A request was answered with 200."""
        self.statuses[200] += 1
        self._noted.append(timings)
        if len(self._noted) == NOTED_AT_MOST:
            self._add_up()

    def failed(self, status: int) -> None:
        """A request was answered with an error."""
        self.statuses[status] += 1

    def stages(self) -> dict[str, tuple[list[tuple[str, float]], float]]:
        """Cumulative buckets (upper bound, count) and the sum in seconds, by stage."""
        self._add_up()
        return {
            stage: (_cumulative(BOUNDS_S, counts), float(total_s))
            for stage, counts, total_s in zip(STAGES, self._counts, self._sums_s, strict=True)
        }

    def batch_sizes(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets and the sum of the batch sizes that requests were answered in."""
        self._add_up()
        return _cumulative(BATCH_BOUNDS, self._batch_counts), float(self._batch_sum)

    def _add_up(self) -> None:
        if not self._noted:
            return
        table = np.array(self._noted)
        self._noted.clear()
        ran = table[table[:, -1] > 0]
        for stage, name in enumerate(STAGES):
            places = np.searchsorted(BOUNDS_S, (ran if name in BATCH_STAGES else table)[:, stage])
            self._counts[stage] += np.bincount(places, minlength=len(BOUNDS_S) + 1)
        self._sums_s += table[:, : len(STAGES)].sum(axis=0)
        places = np.searchsorted(BATCH_BOUNDS, ran[:, -1])
        self._batch_counts += np.bincount(places, minlength=len(BATCH_BOUNDS) + 1)
        self._batch_sum += int(table[:, -1].sum())


def _cumulative(bounds: Iterable[float], counts: np.ndarray) -> list[tuple[str, float]]:
    names = [*(str(bound) for bound in bounds), "+Inf"]
    return list(zip(names, np.cumsum(counts).astype(float).tolist(), strict=True))


class MeterCollector:
    """The meters of all deployments in Prometheus's form (prometheus_client.registry.Collector)."""

    def __init__(
        self, deployments: Mapping[str, Deployment], connections: Connections, strays: Mapping[int, int]
    ) -> None:
        self._deployments = deployments
        self._connections = connections
        self._strays = strays

    def collect(self) -> Iterator[Metric]:
        """One family a quantity."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily(
            "inferlab_requests", "Requests by HTTP status of their answer.", labels=["deployment", "status"]
        )
        stages = HistogramMetricFamily(
            "inferlab_request_stage_seconds",
            "Where answered requests spent their time.",
            labels=["deployment", "stage"],
        )
        sizes = HistogramMetricFamily(
            "inferlab_batch_size", "Items of the batch that a request was answered in.", labels=["deployment"]
        )
        waiting = GaugeMetricFamily("inferlab_queue_items", "Items that wait for a replica.", labels=["deployment"])
        bodies = GaugeMetricFamily("inferlab_bodies", "Bodies that are being read or decoded.", labels=["deployment"])
        up = GaugeMetricFamily("inferlab_replicas_up", "Replicas that can run batches.", labels=["deployment"])
        restarts = CounterMetricFamily(
            "inferlab_replica_restarts", "Replicas that were replaced.", labels=["deployment"]
        )
        lookups = CounterMetricFamily(
            "inferlab_cache_lookups", "Requests by what the response cache had.", labels=["deployment", "result"]
        )
        cached = GaugeMetricFamily("inferlab_cache_bytes", "Size of the response cache.", labels=["deployment"])
        for status, count in sorted(self._strays.items()):
            requests.add_metric([NO_DEPLOYMENT, str(status)], count)
        for name, deployment in self._deployments.items():
            if deployment.cache is not None:
                lookups.add_metric([name, "hit"], deployment.cache.hits)
                lookups.add_metric([name, "miss"], deployment.cache.misses)
                cached.add_metric([name], deployment.cache.size_bytes)
            for status, count in sorted(deployment.meter.statuses.items()):
                requests.add_metric([name, str(status)], count)
            for stage, (buckets, total_s) in deployment.meter.stages().items():
                stages.add_metric([name, stage], buckets, total_s)
            sizes.add_metric([name], *deployment.meter.batch_sizes())
            waiting.add_metric([name], deployment.batcher.waiting)
            bodies.add_metric([name], deployment.room.taken)
            up.add_metric([name], deployment.batcher.runners_up)
            restarts.add_metric([name], deployment.batcher.restarts)
        connections = GaugeMetricFamily("inferlab_connections", "Open connections.", self._connections.open)
        refused = CounterMetricFamily(
            "inferlab_connections_refused",
            "Connections closed before a request of theirs was read, by HTTP status.",
            labels=["status"],
        )
        for status, count in sorted(self._connections.refused.items()):
            refused.add_metric([str(int(status))], count)
        yield from (requests, stages, sizes, waiting, bodies, up, restarts, lookups, cached, connections, refused)


def metrics_page(
    deployments: Mapping[str, Deployment], connections: Connections, strays: Mapping[int, int]
) -> tuple[bytes, str]:
    """The page that Prometheus reads, and its content type.

    `strays` are requests that were refused before they reached a deployment, by HTTP status.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    registry = CollectorRegistry()
    registry.register(MeterCollector(deployments, connections, strays))
    return generate_latest(registry), CONTENT_TYPE_LATEST
