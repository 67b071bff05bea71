"""The files under deploy/ name only what exists. They need engines to run; what they say of this product is checked."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.installation import open_installation
from heimdall.bootstrap.server import Background, assemble
from heimdall.bootstrap.shared import require_shared
from heimdall.cli.app import COMMANDS
from heimdall.settings import Settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
KINDS = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
FUNCTIONS_AND_LABELS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)")


def read_yaml(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def compose_services() -> dict[str, Any]:
    (composition,) = read_yaml(ROOT / "compose.yaml")
    return {name: service for name, service in composition["services"].items() if service.get("image") == "heimdall"}


def kubernetes_objects() -> list[dict[str, Any]]:
    return [document for path in sorted(KUBERNETES.glob("*.yaml")) for document in read_yaml(path)]


def data_of(kind: str, name: str) -> dict[str, str]:
    """What a ConfigMap or Secret holds."""
    (found,) = (item for item in kubernetes_objects() if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found["data" if kind == "ConfigMap" else "stringData"]


def containers() -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Each container of the product with its whole environment."""
    for item in kubernetes_objects():
        if item["kind"] not in {"Deployment", "Job"}:
            continue
        for container in item["spec"]["template"]["spec"]["containers"]:
            own: list[dict[str, str]] = container.get("env", [])
            sources: list[dict[str, dict[str, str]]] = container["envFrom"]
            environment = {entry["name"]: entry["value"] for entry in own}
            for source in sources:
                for kind, reference in source.items():
                    environment |= data_of(
                        {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]
                    )
            yield container, environment


def accepted(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a container: what the image sets, then what it is given."""
    image = dict(re.findall(r"^ {4}(HEIMDALL_\w+)=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert image
    for name, value in (image | environment).items():
        if name.startswith("HEIMDALL_"):
            assert name.removeprefix("HEIMDALL_").lower() in Settings.model_fields, name
            monkeypatch.setenv(name, re.sub(r"\$\{.*\}", "given-when-it-is-started", value))
    return load({})


@pytest.mark.parametrize("name", ["migrate", "api", "worker"])
def test_compose_gives_each_process_what_it_needs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = compose_services()[name]
    settings = accepted(service["environment"], monkeypatch)
    require_shared(settings, name)
    assert settings.broker_url is not None
    assert settings.admin_token is not None
    assert service["command"][0] in {command for command, _, _ in COMMANDS}
    assert not settings.is_loopback


def test_kubernetes_gives_each_process_what_it_needs() -> None:
    found = list(containers())
    assert sorted(container["args"][0] for container, _ in found) == ["migrate", "serve", "worker"]
    for container, environment in found:
        with pytest.MonkeyPatch.context() as patch:
            settings = accepted(environment, patch)
        require_shared(settings, container["args"][0])
        assert settings.admin_token is not None
        assert container["args"][0] in {command for command, _, _ in COMMANDS}


def test_kubernetes_objects_find_each_other() -> None:
    pods = [item["spec"]["template"] for item in kubernetes_objects() if item["kind"] in {"Deployment", "Job"}]
    assert len(pods) == 3
    for pod in pods:
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["image"] == "heimdall"
    labels = [pod["metadata"]["labels"] for pod in pods if "metadata" in pod]
    selectors = [item["spec"]["selector"] for item in kubernetes_objects() if item["kind"] == "Service"]
    assert all(selector in labels for selector in selectors)
    for item in kubernetes_objects():
        if item["kind"] == "Deployment":
            assert item["spec"]["selector"]["matchLabels"] == item["spec"]["template"]["metadata"]["labels"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The API as `serve` and `up` assemble it."""
    installation = open_installation(load({"data_dir": tmp_path_factory.mktemp("data")}))
    app = assemble(installation, Background(installation, None))
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\bheimdall_\w+", FUNCTIONS_AND_LABELS.sub("", expression)))


def test_every_metric_of_alerts_and_dashboard_exists(client: TestClient) -> None:
    families = text_string_to_metric_families(client.get("/metrics").text)
    existing = {sample.name for family in families for sample in family.samples}
    (alerts,) = read_yaml(ROOT / "deploy/prometheus/alerts.yml")
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    dashboard = json.loads((ROOT / "deploy/grafana/heimdall.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    expressions = [entry["expr"] for entry in (*rules, *targets)]
    assert len(expressions) > 15
    for expression in expressions:
        assert metric_names(expression), expression
        assert metric_names(expression) <= existing, expression
    for rule in rules:
        assert rule["annotations"]["summary"].endswith(".")


def test_the_probes_are_answered(client: TestClient) -> None:
    for container, _ in containers():
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            if name in container:
                probe = container[name]["httpGet"]
                headers = {header["name"]: header["value"] for header in probe["httpHeaders"]}
                assert client.get(probe["path"], headers=headers).status_code == 200


def test_the_image_holds_what_the_build_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = " ".join(copied).split()
    assert names
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
