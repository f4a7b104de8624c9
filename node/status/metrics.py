"""Counters, each raised at the place where the bytes move, and their Prometheus text.

The door to prometheus-client. The registry is the daemon's own, not the process-wide default.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from lucidnode.node.bucket.counted import Request
from lucidnode.node.client.mount_messages import REQUEST_BUCKETS_S, RequestTimes
from lucidnode.node.client.wire import Source
from lucidnode.node.savings import NodeTotals
from lucidnode.node.status.history import FETCH_BOUNDS_S, FetchTimes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What this daemon has moved since it started."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._bucket_requests = Counter(
            "lucidnode_bucket_requests",
            "Requests sent to the bucket.",
            ["operation", "kind", "outcome"],
            registry=self.registry,
        )
        self._bucket_bytes = Counter(
            "lucidnode_bucket_bytes",
            "Bytes moved to and from the bucket.",
            ["direction", "kind"],
            registry=self.registry,
        )
        self._peer_bytes = Counter(
            "lucidnode_peer_bytes",
            "Block ciphertext moved over the LAN.",
            ["direction"],
            registry=self.registry,
        )
        self._blocks = Counter(
            "lucidnode_blocks_fetched",
            "Blocks this node obtained, by source.",
            ["source"],
            registry=self.registry,
        )
        self._wasted = Counter(
            "lucidnode_wasted_bytes",
            "Bytes fetched for nothing.",
            ["reason"],
            registry=self.registry,
        )
        self._peer_failures = Counter(
            "lucidnode_peer_failures",
            "Requests to a peer that had to go to another source.",
            ["reason"],
            registry=self.registry,
        )
        self._fetch_seconds = Histogram(
            "lucidnode_fetch_seconds",
            "Time until a block was here, by source.",
            ["source"],
            buckets=FETCH_BOUNDS_S,
            registry=self.registry,
        )
        self._block_gets = 0
        self._block_puts = 0
        self._downloaded = 0
        self._uploaded = 0
        self._received = 0
        self._served = 0
        self._wasted_total = 0
        self._came = {"peer": 0, "bucket": 0}
        self._times = {source: [0] * (len(FETCH_BOUNDS_S) + 1) for source in get_args(Source)}

    # -- the bucket's observer ---------------------------------------------------------------

    def bucket_request(self, request: Request) -> None:
        """Count one request to the store."""
        self._bucket_requests.labels(request.verb, request.kind, request.outcome).inc()
        if request.sent:
            self._bucket_bytes.labels("up", request.kind).inc(request.sent)
        if request.received:
            self._bucket_bytes.labels("down", request.kind).inc(request.received)
        if request.kind == "block":
            self._block_gets += request.verb == "get"
            self._block_puts += request.sent > 0
            self._downloaded += request.received
            self._uploaded += request.sent

    # -- the LAN's observer ------------------------------------------------------------------

    def fetched(self, source: Source, seconds: float) -> None:
        """Count a block that is here now, and how long it took."""
        self._blocks.labels(source).inc()
        self._fetch_seconds.labels(source).observe(seconds)
        self._times[source][bisect_left(FETCH_BOUNDS_S, seconds)] += 1

    def received(self, size: int) -> None:
        """Count block bytes taken from a peer."""
        self._peer_bytes.labels("received").inc(size)
        self._received += size

    def served(self, size: int) -> None:
        """Count block bytes given to a peer."""
        self._peer_bytes.labels("sent").inc(size)
        self._served += size

    def wasted(self, reason: str, size: int) -> None:
        """Count bytes that were moved for nothing."""
        self._wasted.labels(reason).inc(size)
        self._wasted_total += size

    def peer_failed(self, reason: str) -> None:
        """Count a request that a peer did not answer as it should."""
        self._peer_failures.labels(reason).inc()

    def came(self, source: Source, size: int) -> None:
        """Count a block that a mount here needed, and that was not here."""
        self._came[source] += size

    # -- for people --------------------------------------------------------------------------

    def moved(self) -> NodeTotals:
        """Return what the daemon itself moved; the mounts' reads are added by who knows them."""
        return NodeTotals(
            downloaded=self._downloaded,
            uploaded=self._uploaded,
            received=self._received,
            served=self._served,
            wasted=self._wasted_total,
            block_gets=self._block_gets,
            block_puts=self._block_puts,
            from_office=self._came["peer"],
            from_cloud=self._came["bucket"],
        )

    def fetch_times(self) -> FetchTimes:
        """Return how long blocks took that came over the network."""
        return FetchTimes(tuple(self._times["peer"]), tuple(self._times["bucket"]))

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Export *read()* as gauge *name* whenever somebody scrapes."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def watch_totals(self, read: Callable[[], NodeTotals]) -> None:
        """Export the mounts' part of *read()* as counters."""
        self.registry.register(_ReadTotals(read))

    def watch_savings(self, read: Callable[[], dict[str, Any]]) -> None:
        """Export the periods of *read()*, as `lucidnode savings --json` has them."""
        self.registry.register(_Savings(read))

    def watch_requests(self, read: Callable[[], dict[str, RequestTimes]]) -> None:
        """Export how long requests of programs took, by operation, as *read()* has it."""
        self.registry.register(_RequestTimes(read))

    def watch_indexers(self, read: Callable[[], list[dict[str, Any]]]) -> None:
        """Export what each of *read()* had of the bucket, and what it was not given, as `status --json` has it."""
        self.registry.register(_Indexers(read))

    def text(self) -> bytes:
        """Return the exposition text, content type CONTENT_TYPE."""
        return generate_latest(self.registry)


class _Indexers(Collector):
    """Thumbnailers and indexers that are held to what is cheap."""

    def __init__(self, read: Callable[[], list[dict[str, Any]]]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        fetched = CounterMetricFamily(
            "lucidnode_indexer_fetched_bytes",
            "Bytes fetched for thumbnailers and indexers that are held back.",
            labels=["program"],
        )
        withheld = CounterMetricFamily(
            "lucidnode_indexer_withheld_bytes",
            "Bytes that they wanted and were not given.",
            labels=["program"],
        )
        for each in self._read():
            fetched.add_metric([each["program"]], each["fetched_bytes"])
            withheld.add_metric([each["program"]], each["withheld_bytes"])
        return [fetched, withheld]


class _RequestTimes(Collector):
    """Histograms kept by the mounts."""

    def __init__(self, read: Callable[[], dict[str, RequestTimes]]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        times = HistogramMetricFamily(
            "lucidnode_request_seconds",
            "Time that a mount took for requests of programs, by operation.",
            labels=["operation"],
        )
        failed = CounterMetricFamily(
            "lucidnode_request_failures",
            "Requests of programs that ended in an error, such as a name that does not exist.",
            labels=["operation"],
        )
        for operation, of_operation in self._read().items():
            sums = list(accumulate(of_operation.counts))
            bounds = [*(repr(bound) for bound in REQUEST_BUCKETS_S), "+Inf"]
            times.add_metric(
                [operation], list(zip(bounds, sums, strict=True)), of_operation.seconds
            )
            failed.add_metric([operation], of_operation.failed)
        return [times, failed]


class _Savings(Collector):
    """Gauges of what was saved, by period: those of the past grow, those of today begin anew."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        saved = GaugeMetricFamily(
            "lucidnode_savings_bytes",
            "What was needed, downloaded and saved, as `lucidnode savings` shows it.",
            labels=["period", "scope", "figure"],
        )
        requests = GaugeMetricFamily(
            "lucidnode_savings_requests",
            "Requests for blocks: made, and at least saved.",
            labels=["period", "scope", "figure"],
        )
        money = GaugeMetricFamily(
            "lucidnode_savings_dollars", "The same in money.", labels=["period", "scope", "figure"]
        )
        for period, of_period in self._read().items():
            for scope in ("here", "office"):
                for figure, value in of_period[scope].items():
                    if figure.startswith("money_"):
                        name = figure.removeprefix("money_")
                        money.add_metric([period, scope, name], value)
                    elif figure.startswith(("block_", "requests_")):
                        requests.add_metric([period, scope, figure], value)
                    elif figure != "percent":
                        saved.add_metric([period, scope, figure], value)
        return [saved, requests, money]

    def describe(self) -> list[Metric]:
        return [
            GaugeMetricFamily("lucidnode_savings_bytes", ""),
            GaugeMetricFamily("lucidnode_savings_requests", ""),
            GaugeMetricFamily("lucidnode_savings_dollars", ""),
        ]


class _ReadTotals(Collector):
    """Counters kept by the mounts, collected through the totals they report."""

    def __init__(self, read: Callable[[], NodeTotals]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        totals = self._read()
        reads = CounterMetricFamily(
            "lucidnode_read_bytes", "Bytes handed to applications, by source.", labels=["source"]
        )
        for source in ("memory", "cache", "peer", "bucket", "unsent"):
            reads.add_metric([source], getattr(totals, f"read_{source}"))
        written = CounterMetricFamily("lucidnode_written_bytes", "Bytes applications wrote.")
        written.add_metric([], totals.written)
        again = CounterMetricFamily(
            "lucidnode_read_again_bytes",
            "Of those from the cache, bytes of blocks that had come over the network.",
        )
        again.add_metric([], totals.read_again)
        return [reads, written, again]

    def describe(self) -> list[Metric]:
        return [GaugeMetricFamily("lucidnode_read_bytes", "")]
