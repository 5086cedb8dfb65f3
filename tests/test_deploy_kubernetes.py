"""The manifests are valid, fit together, and say what the service's settings mean."""

import shutil
import subprocess
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.app import create_app
from service.settings import ENV_PREFIX, Settings
from service.workers import _PATIENCE
from tests.deployment import DEPLOY, KUBERNETES, ROOT, Manifest, base, container_of, read_yaml

OVERLAYS = ["overlays/cpu", "overlays/gpu"]
PATCHING = [*OVERLAYS, "components/own-model"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
KSERVE = {name: read_yaml(KUBERNETES / "kserve" / f"{name}.yaml") for name in ("servingruntime", "inferenceservice")}
MONITOR = read_yaml(KUBERNETES / "components/prometheus-operator/servicemonitor.yaml")


def merged(manifest: Any, patch: Any) -> Any:
    """Apply a strategic merge patch, as far as the patches here need it: lists of named things merge by name."""
    if isinstance(patch, dict) and isinstance(manifest, dict):
        return manifest | {key: merged(manifest.get(key), value) for key, value in patch.items()}
    if isinstance(patch, list) and isinstance(manifest, list) and all("name" in item for item in (*patch, *manifest)):
        known = {item["name"]: item for item in manifest}
        return list((known | {item["name"]: merged(known.get(item["name"]), item) for item in patch}).values())
    return deepcopy(patch)


def patches(folder: str) -> list[Manifest]:
    kustomization = read_yaml(KUBERNETES / folder / "kustomization.yaml")
    return [read_yaml(KUBERNETES / folder / patch["path"]) for patch in kustomization["patches"]]


def patched(folder: str) -> dict[str, Manifest]:
    """Build an overlay, or the base with a component."""
    manifests = base()
    for patch in patches(folder):
        manifests[patch["kind"]] = merged(manifests[patch["kind"]], patch)
    return manifests


def validate(manifest: Manifest) -> None:
    """Hold a manifest against the newest schema there is; an unknown field is an error."""
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def pod(spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "charlstm"}, "spec": spec}


def settings_of(container: Manifest) -> Settings:
    """Read the settings that a container gives the service; one that there is not is an error."""
    given = {variable["name"].removeprefix(ENV_PREFIX).lower(): variable["value"] for variable in container["env"]}
    return Settings.model_validate(given)


def assert_restricted(spec: Manifest, container: Manifest) -> None:
    """Hold a pod against the Pod Security Standard `restricted`, and a root that nobody writes to."""
    whole, own = spec.get("securityContext", {}), container["securityContext"]
    assert (whole | own)["runAsNonRoot"] is True
    assert (whole | own)["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]  # noqa: S108  a folder of the container's
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("folder", PATCHING)
def test_every_manifest_is_valid_to_the_last_field(folder: str) -> None:
    for manifest in patched(folder).values():
        validate(manifest)


@pytest.mark.parametrize("folder", PATCHING)
def test_every_file_in_a_folder_is_used_and_every_patch_has_a_target(folder: str) -> None:
    kustomization = read_yaml(KUBERNETES / folder / "kustomization.yaml")
    used = {"kustomization.yaml", *(patch["path"] for patch in kustomization["patches"])}
    assert {path.name for path in (KUBERNETES / folder).iterdir()} == used
    targets = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in base().values()}
    assert {(patch["kind"], patch["metadata"]["name"]) for patch in patches(folder)} <= targets
    for resource in kustomization.get("resources", []):
        assert (KUBERNETES / folder / resource / "kustomization.yaml").is_file()


@pytest.mark.parametrize("folder", PATCHING)
def test_a_patch_meets_what_it_changes(folder: str) -> None:
    """A misspelt name would add a container or a field instead of changing one."""
    for patch in patches(folder):
        manifest = base()[patch["kind"]]
        found = merged(manifest, patch)
        assert found["spec"].keys() == manifest["spec"].keys()
        if patch["kind"] == "Deployment":
            container = container_of(found)
            assert container.keys() == container_of(manifest).keys()
            new = found["spec"]["template"]["spec"].keys() - manifest["spec"]["template"]["spec"].keys()
            assert new <= {"tolerations"}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_kustomize_builds_what_these_tests_hold_to_be_the_overlay(folder: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl is installed, which has kustomize built in; the merge of these tests stands in for it")
    built = subprocess.run([kubectl, "kustomize", KUBERNETES / folder], capture_output=True, text=True, check=True)
    found = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(built.stdout)}
    expected = patched(folder)
    (image,) = read_yaml(KUBERNETES / folder / "kustomization.yaml")["images"]
    container_of(expected["Deployment"])["image"] = f"{image['name']}:{image['newTag']}"
    assert found.keys() == expected.keys()
    for kind, manifest in found.items():
        validate(manifest)
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "charlstm"
        assert in_order(manifest.get("spec")) == in_order(expected[kind].get("spec"))


def in_order(value: Any) -> Any:
    """Sort lists of named things: their order means nothing, and kustomize has its own."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(in_order, value), key=lambda item: item.get("name", "") if isinstance(item, dict) else "")
    return value


@pytest.mark.parametrize("folder", PATCHING)
def test_a_pod_is_restricted_and_knows_nothing_of_the_cluster(folder: str) -> None:
    spec = patched(folder)["Deployment"]["spec"]["template"]["spec"]
    assert_restricted(spec, container_of(patched(folder)["Deployment"]))
    assert spec["automountServiceAccountToken"] is False
    assert base()["ServiceAccount"]["automountServiceAccountToken"] is False
    assert base()["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_variable_comes_from_a_services_name() -> None:
    """For a Service named charlstm the cluster would set CHARLSTM_PORT to an address, which is no port."""
    assert base()["Deployment"]["spec"]["template"]["spec"]["enableServiceLinks"] is False
    assert KSERVE["inferenceservice"]["spec"]["predictor"]["enableServiceLinks"] is False


@pytest.mark.parametrize("folder", PATCHING)
def test_a_pod_has_longer_to_stop_than_the_service_takes(folder: str) -> None:
    deployment = patched(folder)["Deployment"]
    container = container_of(deployment)
    settings = settings_of(container)
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + settings.drain_seconds + settings.shutdown_seconds + _PATIENCE
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > needed
    probe = container["readinessProbe"]
    assert settings.drain_seconds >= probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("folder", PATCHING)
def test_what_a_pod_is_told_are_settings_and_fits_the_pod(folder: str) -> None:
    container = container_of(patched(folder)["Deployment"])
    settings = settings_of(container)
    assert [port["containerPort"] for port in container["ports"]] == [settings.port]
    assert settings.threads is not None
    assert int(container["resources"]["requests"]["cpu"]) == settings.threads + settings.workers
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert settings.artifacts == Settings.model_fields["artifacts"].default or str(settings.artifacts.parent) in mounts


def test_the_secret_holds_settings() -> None:
    """What deploy/README.md has a person put into it."""
    said = (DEPLOY / "README.md").read_text()
    (reference,) = container_of(base()["Deployment"])["envFrom"]
    assert f"create secret generic {reference['secretRef']['name']} --from-literal=CHARLSTM_API_KEYS=" in said
    assert reference["secretRef"]["optional"] is True


@pytest.mark.parametrize(
    "container", [container_of(base()["Deployment"]), *KSERVE["servingruntime"]["spec"]["containers"]]
)
def test_each_probe_asks_the_route_that_answers_it(container: Manifest) -> None:
    """Readiness is a model, and a draining service has none to offer; a process that answers at all is alive."""
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert set(asked.values()) <= create_app(Settings()).openapi()["paths"].keys()
    assert asked["startup"] == asked["readiness"]
    assert asked["readiness"].rpartition("/")[2] in {"readyz", "ready"}
    assert asked["liveness"].rpartition("/")[2] in {"livez", "live"}


def test_what_selects_the_pods_selects_these() -> None:
    found = base()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == found["Deployment"]["spec"]["selector"]["matchLabels"]
    assert labels == found["Service"]["spec"]["selector"]
    assert labels == found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert labels == found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    (spread,) = found["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert labels == spread["labelSelector"]["matchLabels"]


def test_every_way_in_leads_to_the_services_port_and_there_is_no_way_out() -> None:
    found = base()
    (port,) = container_of(found["Deployment"])["ports"]
    (offered,) = found["Service"]["spec"]["ports"]
    policy = found["NetworkPolicy"]["spec"]
    (allowed,) = policy["ingress"]
    assert offered["targetPort"] == port["name"]
    assert [entry["port"] for entry in allowed["ports"]] == [port["name"]]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []


def test_the_autoscaler_decides_how_many_pods_there_are_by_a_metric_that_the_adapter_offers() -> None:
    found = base()
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    target = found["Deployment"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"],
        "kind": target["kind"],
        "name": target["metadata"]["name"],
    }
    assert "replicas" not in target["spec"]
    (rule,) = read_yaml(KUBERNETES / "prometheus-adapter.yaml")["rules"]["custom"]
    assert rule["name"]["as"] == scaler["metrics"][0]["pods"]["metric"]["name"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_it_grows_long_before_anybody_is_refused(folder: str) -> None:
    (metric,) = patched(folder)["HorizontalPodAutoscaler"]["spec"]["metrics"]
    settings = settings_of(container_of(patched(folder)["Deployment"]))
    assert int(metric["pods"]["target"]["averageValue"]) <= settings.max_waiting_texts / 4


def test_a_gpu_is_asked_for_by_its_overlay_alone() -> None:
    limits = {folder: container_of(patched(folder)["Deployment"])["resources"]["limits"] for folder in OVERLAYS}
    assert [folder for folder in OVERLAYS if "nvidia.com/gpu" in limits[folder]] == ["overlays/gpu"]
    devices = {folder: settings_of(container_of(patched(folder)["Deployment"])).device for folder in OVERLAYS}
    assert devices == {"overlays/cpu": "cpu", "overlays/gpu": "cuda"}


def test_images_are_those_that_compose_builds_of_this_version() -> None:
    built = {service.get("image") for service in read_yaml(ROOT / "docker-compose.yml")["services"].values()}
    tags = [read_yaml(KUBERNETES / folder / "kustomization.yaml")["images"][0] for folder in OVERLAYS]
    images = {f"{tag['name']}:{tag['newTag']}" for tag in tags}
    (runtime,) = KSERVE["servingruntime"]["spec"]["containers"]
    images.add(runtime["image"])
    assert images <= built
    assert all(image.startswith(f"charlstm:{VERSION}-") for image in images)


def test_prometheus_finds_the_service() -> None:
    """There is no schema of the operator's resources to hold it against, so these are its fields, one by one."""
    found = base()
    assert (MONITOR["apiVersion"], MONITOR["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert MONITOR["spec"].keys() == {"selector", "endpoints", "jobLabel"}
    labels = found["Service"]["metadata"]["labels"]
    assert MONITOR["spec"]["selector"] == {"matchLabels": labels}
    assert labels[MONITOR["spec"]["jobLabel"]] == "charlstm"  # the job that the alerts ask for
    assert MONITOR["metadata"]["namespace"] == found["Namespace"]["metadata"]["name"]
    (endpoint,) = MONITOR["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"}
    assert [port["name"] for port in found["Service"]["spec"]["ports"]] == [endpoint["port"]]
    assert endpoint["path"] in create_app(Settings()).openapi()["paths"]


def test_kserve_runs_a_valid_pod() -> None:
    """There is no schema of KServe's resources either; what they hold of a pod is held against a pod's."""
    runtime, service = KSERVE["servingruntime"], KSERVE["inferenceservice"]
    assert (runtime["apiVersion"], runtime["kind"]) == ("serving.kserve.io/v1alpha1", "ServingRuntime")
    assert runtime["spec"].keys() == {
        "annotations",
        "supportedModelFormats",
        "protocolVersions",
        "containers",
        "volumes",
    }
    of_kserve = {"minReplicas", "maxReplicas", "model"}
    predictor = service["spec"]["predictor"]
    of_pod = {key: value for key, value in predictor.items() if key not in of_kserve}
    spec = {key: runtime["spec"][key] for key in ("containers", "volumes")} | of_pod
    validate(pod(spec))
    (container,) = spec["containers"]
    assert container["name"] == "kserve-container"  # by this name KServe knows it
    assert_restricted(spec, container)
    settings = settings_of(container)
    assert str(settings.artifacts) == "/mnt/models"  # where KServe puts a model
    assert spec["terminationGracePeriodSeconds"] > settings.drain_seconds + settings.shutdown_seconds + _PATIENCE
    assert container["ports"] == [{"containerPort": settings.port, "protocol": "TCP"}]


def test_the_inference_service_asks_for_the_runtime_and_its_protocol() -> None:
    runtime, service = KSERVE["servingruntime"], KSERVE["inferenceservice"]
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    model = service["spec"]["predictor"]["model"]
    assert model.keys() == {"runtime", "modelFormat", "protocolVersion", "storageUri"}
    assert model["runtime"] == runtime["metadata"]["name"]
    (offered,) = runtime["spec"]["supportedModelFormats"]
    assert offered | model["modelFormat"] == offered
    assert runtime["spec"]["protocolVersions"] == [model["protocolVersion"]] == ["v2"]


def test_the_alerts_become_a_resource_of_prometheus_operator(tmp_path: Path) -> None:
    """deploy/README.md has a command for it; what it hands to kubectl holds the rules as they are."""
    said = (DEPLOY / "README.md").read_text()
    (command,) = (block for block in said.split("```") if "kind: PrometheusRule" in block)
    script = command.removeprefix("sh\n").replace("kubectl apply -f -", f"cat > {tmp_path}/rule.yaml")
    subprocess.run(["bash", "-euc", script], cwd=ROOT, check=True)
    found = read_yaml(tmp_path / "rule.yaml")
    assert (found["kind"], found["metadata"]["namespace"]) == ("PrometheusRule", "charlstm")
    assert found["spec"] == read_yaml(DEPLOY / "monitoring/rules.yml")
