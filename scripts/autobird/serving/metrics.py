"""Prometheus metrics of the server."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from autobird.serving.compute.requests import EmbeddingState
from autobird.serving.services import Services

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one app.

    Args:
        services: the pool and the log, whose states are read with each request of the metrics.
    """

    def __init__(self, services: Services) -> None:
        self._registry = registry = CollectorRegistry()
        self.predictions = Counter(
            "autobird_predictions_total",
            "Classified recordings, by most probable species.",
            ["species"],
            registry=registry,
        )
        self.errors = Counter(
            "autobird_errors_total", "Error responses, by HTTP status.", ["status"], registry=registry
        )
        self.audio_seconds = Counter("autobird_audio_seconds_total", "Seconds of classified audio.", registry=registry)
        self.duration = Histogram(
            "autobird_prediction_duration_seconds", "Seconds from the request to the response.", buckets=_BUCKETS,
            registry=registry,
        )  # fmt: skip
        self.stages = Counter(
            "autobird_stage_seconds_total", "Seconds of classified recordings, by stage.", ["stage"], registry=registry
        )
        self.gone = Counter(
            "autobird_clients_gone_total",
            "Requests whose client closed the connection before the answer.",
            registry=registry,
        )
        self.active = Gauge("autobird_active_requests", "Predictions in progress.", registry=registry)
        registry.register(_States(services))

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _States(Collector):
    """States of the pool and of the log, read when they are asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not ask for the states."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the states."""
        state, bundle = self._services.pool.state(), self._services.pool.bundle()
        loaded = GaugeMetricFamily("autobird_model_loaded", "1 if the bundle is loaded.", labels=["bundle", "variant"])
        loaded.add_metric([bundle.name, bundle.variant], float(state.ready))
        yield loaded
        gauges = {
            "processes": ("Compute processes that are ready.", state.processes),
            "queued_tasks": ("Tasks that wait for a process.", state.queued),
            "running_tasks": ("Tasks that are computed.", state.running),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"autobird_{name}", text, value=value)
        yield CounterMetricFamily(
            "autobird_processes_replaced", "Compute processes that were replaced.", value=state.replaced
        )
        yield CounterMetricFamily(
            "autobird_shadow_dropped",
            "Recordings without an answer of the shadow bundle, because too many waited or it failed.",
            value=state.shadow_dropped,
        )
        if state.embedding is not None:
            yield from _of_embedding(state.embedding)
        if self._services.store is not None:
            log = self._services.store.state()
            yield CounterMetricFamily(
                "autobird_log_errors", "Entries that could not be written to the log.", value=log.lost
            )
            yield GaugeMetricFamily("autobird_log_waiting", "Entries that wait for the log.", value=log.waiting)


def _of_embedding(e: EmbeddingState) -> Iterator[Metric]:
    """Yield the metrics of the embedding process."""
    yield GaugeMetricFamily("autobird_embedding_ready", "1 if the embedding process is ready.", value=float(e.ready))
    yield CounterMetricFamily(
        "autobird_embedding_windows", "Windows that the backbone has computed.", value=float(e.windows)
    )
    yield CounterMetricFamily(
        "autobird_embedding_seconds", "Seconds that these windows took, added over all threads.", value=e.seconds
    )
    yield GaugeMetricFamily(
        "autobird_embedding_window_seconds", "Mean seconds of the last windows.", value=e.window_seconds
    )
    yield GaugeMetricFamily(
        "autobird_embedding_waiting_windows",
        "Windows that requests and jobs still need, estimated before they are decoded.",
        value=float(e.waiting_windows),
    )
    yield CounterMetricFamily(
        "autobird_embedding_replaced", "Embedding processes that were replaced.", value=float(e.replaced)
    )
