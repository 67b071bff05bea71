"""The figures of this service in Prometheus' text format, read when asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from heimdall.api.live.hub import Hub
from heimdall.api.services import ApiServices
from heimdall.domain.job import Status

MEDIA_TYPE = CONTENT_TYPE_LATEST
HELP = {
    "heimdall_restarts": "Restarts after lost workers, summed over the stored jobs.",
    "heimdall_events_stored": "Events in the database.",
    "heimdall_points_stored": "Points of per-step series in the database.",
    "heimdall_checkpoint_seconds": "Mean seconds from an epoch's end until its checkpoint was safe (newest ones).",
    "heimdall_workers": "Workers that are alive.",
    "heimdall_slots": "Slots of all live workers.",
    "heimdall_broker_away": "1 while the message broker cannot be reached, else 0.",
    "heimdall_publish_failures_total": "Events that could not be published to the message broker.",
}


def render(services: ApiServices, hub: Hub) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(services, hub))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, services: ApiServices, hub: Hub) -> None:
        self._services = services
        self._hub = hub

    @override
    def collect(self) -> Iterator[Metric]:
        yield self._jobs()
        yield from self._ages()
        yield GaugeMetricFamily("heimdall_sockets", "Open WebSockets.", value=self._hub.num_sockets)
        yield GaugeMetricFamily("heimdall_streams", "Open server-sent event streams.", value=self._hub.num_streams)
        yield CounterMetricFamily(
            "heimdall_events", "Events read from the log for live readers.", value=self._hub.num_events
        )
        for name, value in self._services.measures().items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield family(name.removesuffix("_total"), HELP.get(name, name), value=value)

    def _jobs(self) -> Metric:
        family = GaugeMetricFamily("heimdall_jobs", "Jobs by status.", labels=["status"])
        counts = self._services.counts()
        for status in Status:
            family.add_metric([status.value], counts.get(status.value, 0))
        return family

    def _ages(self) -> Iterator[Metric]:
        oldest = self._services.jobs.oldest()
        yield GaugeMetricFamily(
            "heimdall_queue_wait_seconds",
            "How long the longest waiting queued job has waited.",
            value=_age_seconds(oldest.queued_at),
        )
        yield GaugeMetricFamily(
            "heimdall_heartbeat_age_seconds",
            "Age of the oldest heartbeat of a running job.",
            value=_age_seconds(oldest.heartbeat_at),
        )


def _age_seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else max(0.0, (datetime.now(UTC) - moment).total_seconds())
