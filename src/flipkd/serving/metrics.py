"""What Prometheus reads of the server. No label comes from outside, so their number is bounded."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from flipkd.serving.queue import FairQueue

OUTCOMES = {
    200: "ok",
    400: "invalid",
    401: "unauthorised",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "busy",
    499: "gone",
    503: "unavailable",
}
"""Outcome by status; 499 is a client that hung up, 503 a server that is being stopped or an index that does not answer,
which the log tells apart. Any other status is `error` from 500 on, and else `refused`."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def outcome(status: int) -> str:
    """The outcome that a status stands for."""
    return OUTCOMES.get(status, "error" if status >= 500 else "refused")


class Metrics:
    """The server's counters.

    Args:
        queue: Whose length is shown.
    """

    def __init__(self, queue: FairQueue) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "flipkd_requests_total", "Requests by route and outcome.", ["route", "outcome"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "flipkd_request_seconds", "From a request's arrival to its answer.", ["route"], buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.queue_seconds = Histogram(
            "flipkd_queue_seconds", "How long a request waited for its first row's batch.", buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._inference_seconds = Histogram(
            "flipkd_inference_seconds", "How long a batch was computed.", buckets=_SECONDS, registry=self._registry
        )
        self._batch_rows = Histogram(
            "flipkd_batch_rows", "Rows of a batch.", buckets=[2**n for n in range(11)], registry=self._registry
        )
        self._batch_tokens = Histogram(
            "flipkd_batch_tokens", "Tokens of a batch.", buckets=[2**n for n in range(4, 15)], registry=self._registry
        )
        Gauge("flipkd_queue_rows", "Rows that wait.", registry=self._registry).set_function(lambda: queue.rows)
        Gauge("flipkd_queue_tokens", "Tokens that wait.", registry=self._registry).set_function(lambda: queue.tokens)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, outcome(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def batch(self, rows: int, tokens: int, seconds: float) -> None:
        """Count a batch."""
        self._inference_seconds.observe(seconds)
        self._batch_rows.observe(rows)
        self._batch_tokens.observe(tokens)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
