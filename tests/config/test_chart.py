"""The Helm chart: rendered by Helm's own engine, judged by Kubernetes' own schemas."""

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.variables import SECRETS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "ledgerline"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
LEAST = {"existingSecret": "ledgerline", "host": "billing.example.com"}
OLDEST, NEWEST = "1.27", "1.34"


def test_the_charts_own_values_fit_its_schema_and_no_secret_fits_its_config():
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    jsonschema.validate(values, SCHEMA)
    refused = SCHEMA["properties"]["config"]["propertyNames"]["allOf"][1]["not"]["enum"]

    assert set(refused) == SECRETS
    assert values.keys() <= SCHEMA["properties"].keys()


def test_the_chart_runs_the_commands_of_the_procfile():
    lines = (ROOT / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines)

    templates = {path.stem: path.read_text() for path in CHART.glob("templates/*.yaml")}

    assert processes["release"] in templates["migrations"]
    beat = "".join(
        line.partition("command: ")[2]
        for line in templates["beat"].splitlines()
        if "command" in line
    )
    assert yaml.safe_load(beat) == shlex.split(processes["beat"])
    worker = shlex.split(processes["worker"])
    assert all(f"- {word}\n" in templates["workers"] for word in worker)


# --- What Helm makes of it ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def helm():
    """The engine of Helm 4 as a library; `make verify` installs it from requirements/chart.txt."""
    return pytest.importorskip("helm_python", reason="requirements/chart.txt is not installed")


def rendered(helm: Any, **values: Any) -> list[dict[str, Any]]:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(LEAST | values)
        files = chart.render(LEAST | values, name="prod", namespace="billing")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def containers(documents: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    pods = [each["spec"]["template"]["spec"] for each in documents if "template" in each["spec"]]
    return [(pod, container) for pod in pods for container in pod["containers"]]


@pytest.mark.verify
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_everything_that_it_renders_is_a_kubernetes_object(helm, version):
    validate = pytest.importorskip("kubernetes_validate").validate
    workers = {
        name: {"replicas": 1, "concurrency": 2, "queues": [name], "resources": {}}
        for name in ("webhooks", "usage")
    }

    documents = rendered(
        helm,
        workers=workers,
        ingress={"enabled": True, "className": "nginx", "tlsSecretName": "tls"},
        licence={"required": True, "existingSecret": "licence"},
        imagePullSecrets=[{"name": "registry"}],
    )

    for document in documents:
        validate(document, version, strict=True)
    kinds = {(each["kind"], each["metadata"]["name"]) for each in documents}
    assert kinds == {
        ("Deployment", "prod-web"), ("Service", "prod-web"), ("PodDisruptionBudget", "prod-web"),
        ("HorizontalPodAutoscaler", "prod-web"), ("Deployment", "prod-worker-default"),
        ("Deployment", "prod-worker-webhooks"), ("Deployment", "prod-worker-usage"),
        ("Deployment", "prod-beat"), ("Job", "prod-migrations"), ("Ingress", "prod"),
    }  # fmt: skip
    report = helm.lint(str(CHART), values=LEAST)
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@pytest.mark.verify
def test_no_container_is_root_can_write_or_holds_a_secret(helm):
    documents = rendered(helm, licence={"required": True, "existingSecret": "licence"})

    for pod, container in containers(documents):
        allowed = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert allowed["readOnlyRootFilesystem"]
        assert not allowed["allowPrivilegeEscalation"]
        assert allowed["capabilities"] == {"drop": ["ALL"]}
        plain = {each["name"] for each in container["env"] if "value" in each}
        assert plain & SECRETS == set()
        assert container["envFrom"] == [{"secretRef": {"name": "ledgerline"}}]
        assert {"requests", "limits"} <= container["resources"].keys()
    assert len(containers(documents)) == 4
    beat = next(each for each in documents if each["metadata"]["name"] == "prod-beat")
    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]) == (1, {"type": "Recreate"})
    job = next(each for each in documents if each["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


@pytest.mark.verify
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"licence": {"required": True}}, "licence.required is on: set licence.key"),
        ({"existingSecret": ""}, "existingSecret: a Secret with SECRET_KEY"),
        ({"host": ""}, "host: the name under which"),
        ({"host": "https://billing.example.com"}, "host"),
        ({"config": {"STRIPE_SECRET_KEY": "sk_live_1"}}, "invalid propertyName"),
        ({"wep": {"replicas": 3}}, "'wep' not allowed"),
    ],
)
def test_what_would_not_run_is_not_rendered(helm, values, said):
    with pytest.raises(helm.HelmError, match=said):
        rendered(helm, **values)


@pytest.mark.verify
def test_a_licence_that_is_required_and_there_is_handed_to_every_process(helm):
    key = {"licence": {"required": True, "key": "signed"}}

    for _pod, container in containers(rendered(helm, **key)):
        given = {each["name"]: each.get("value") for each in container["env"]}
        assert (given["LICENCE_REQUIRED"], given["LICENCE_KEY"]) == ("1", "signed")
