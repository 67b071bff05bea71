"""Health, version and Prometheus."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.client import Api
from tests.api.installation import Installation


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health(api: Api, path: str) -> None:
    assert api.client.get(path).json() == {"status": "healthy", "service": "training-svc", "version": "1.2.3"}


def test_version(api: Api) -> None:
    assert api.client.get("/version").json() == {"version": "1.2.3"}


def test_prometheus(api: Api, installation: Installation) -> None:
    api.submit()
    installation.worker.claim()
    api.submit()
    answer = api.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["heimdall_jobs", "queued"] == 1
    assert samples["heimdall_jobs", "running"] == 1
    assert samples["heimdall_jobs", "failed"] == 0
    assert samples["heimdall_ingested_points_total",] == 7
    assert 0 <= samples["heimdall_heartbeat_age_seconds",] < 60
    assert 0 <= samples["heimdall_queue_wait_seconds",] < 60
    assert samples["heimdall_sockets",] == 0
    assert ("heimdall_events_total",) in samples
