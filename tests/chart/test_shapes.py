"""Every supported shape renders, and whatever renders keeps the rules."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from charts import CHART, RELEASE, Object, container, given, helm, objects, one, rendered_text, shape

pytestmark = pytest.mark.usefixtures("real_helm")

SHAPES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
EVERY_SHAPE = pytest.mark.parametrize("name", SHAPES)
WORKLOADS = {"Deployment", "Pod"}
SECRETS = {"nvapi-example", "0123456789abcdef0123456789abcdef"}
"""Of the files in ci/."""


def pod_of(item: Object) -> Object:
    """The pod's metadata and spec."""
    return dict(item if item["kind"] == "Pod" else item["spec"]["template"])


def pods(name: str) -> list[tuple[str, Object]]:
    return [(item["metadata"]["name"], pod_of(item)) for item in objects(*shape(name)) if item["kind"] in WORKLOADS]


@EVERY_SHAPE
def test_helm_finds_nothing_to_complain_of(name: str) -> None:
    result = helm("lint", "--strict", str(CHART), *shape(name))
    assert result.returncode == 0, result.stdout + result.stderr


@EVERY_SHAPE
def test_every_object_has_a_name_of_the_release_and_the_labels(name: str) -> None:
    for item in objects(*shape(name)):
        metadata = item["metadata"]
        assert metadata["name"].startswith(f"{RELEASE}-"), metadata["name"]
        assert metadata["namespace"] == "voice-workflow"
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/part-of"] == "voice-workflow"
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app"] == labels["app.kubernetes.io/name"]


@EVERY_SHAPE
def test_no_two_objects_are_the_same(name: str) -> None:
    seen = [(item["kind"], item["metadata"]["name"]) for item in objects(*shape(name))]
    assert len(seen) == len(set(seen))


@EVERY_SHAPE
def test_rendering_again_gives_the_same(name: str) -> None:
    first = rendered_text(RELEASE, *shape(name))
    again = helm("template", RELEASE, str(CHART), "-n", "voice-workflow", *shape(name)).stdout
    assert again == first


# ---- selectors -------------------------------------------------------------------------------------------------------


def selectors(item: Object) -> Iterator[dict[str, str]]:
    spec = item.get("spec", {})
    match item["kind"]:
        case "Service":
            yield spec["selector"]
        case "Deployment" | "PodDisruptionBudget" | "ServiceMonitor":
            yield spec["selector"]["matchLabels"]
        case "NetworkPolicy":
            yield spec["podSelector"]["matchLabels"]


@EVERY_SHAPE
def test_selectors_hold_nothing_that_a_value_or_a_version_changes(name: str) -> None:
    for item in objects(*shape(name)):
        for selector in selectors(item):
            assert set(selector) == {"app", "app.kubernetes.io/instance"}


@EVERY_SHAPE
def test_each_selector_meets_pods_of_one_workload_only(name: str) -> None:
    labels = {item: pod["metadata"]["labels"] for item, pod in pods(name)}
    for item in objects(*shape(name)):
        for selector in selectors(item):
            met = {workload for workload, own in labels.items() if selector.items() <= own.items()}
            assert len(met) == 1, (item["metadata"]["name"], met)


@EVERY_SHAPE
def test_only_the_gateway_carries_its_label(name: str) -> None:
    carriers = {item for item, pod in pods(name) if pod["metadata"]["labels"]["app"] == "voice-gateway"}
    assert carriers == {"voice-gateway-gateway"}


def test_a_new_version_alone_changes_no_pod(tmp_path: Any) -> None:
    labels = one("Deployment", "voice-gateway-gateway")["spec"]["template"]["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)


# ---- Pod Security "restricted" ---------------------------------------------------------------------------------------


VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def violations(pod: Object) -> list[str]:
    """What the level "restricted" forbids (Pod Security Standards, Kubernetes 1.33), and a writable root besides."""
    spec, found = pod["spec"], []
    security = spec.get("securityContext", {})
    found += [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        found.append("no seccomp profile")
    if security.get("runAsUser") == 0:
        found.append("runs as root")
    for each in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        own = each.get("securityContext", {})
        if own.get("privileged"):
            found.append("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("may gain privileges")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append("keeps capabilities")
        if not own.get("runAsNonRoot", security.get("runAsNonRoot")):
            found.append("may be root")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append("writes to its root")
        found += ["a host port" for port in each.get("ports", []) if port.get("hostPort")]
    return found


@EVERY_SHAPE
def test_every_pod_fits_the_restricted_level(name: str) -> None:
    for item, pod in pods(name):
        assert violations(pod) == [], item


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda spec: spec.update(hostNetwork=True), "hostNetwork is set"),
        (lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "volume hostPath"),
        (lambda spec: spec["securityContext"].pop("seccompProfile"), "no seccomp profile"),
        (lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"), "keeps capabilities"),
        (lambda spec: spec["containers"][0].pop("securityContext"), "may gain privileges"),
    ],
)
def test_a_planted_violation_is_found(change: Any, found: str) -> None:
    pod = yaml.safe_load(yaml.safe_dump(dict(pods("default"))["voice-gateway-gateway"]))
    change(pod["spec"])
    assert found in violations(pod)


@EVERY_SHAPE
def test_pods_write_to_tmp_only_and_carry_no_needless_token(name: str) -> None:
    for item, pod in pods(name):
        for each in pod["spec"]["containers"]:
            writable = [mount["mountPath"] for mount in each["volumeMounts"] if not mount.get("readOnly")]
            assert writable == ["/tmp"], item
            assert all("subPath" not in mount for mount in each["volumeMounts"]), item
        token = pod["spec"]["automountServiceAccountToken"]
        assert token is (item == "voice-gateway-gateway" and name != "own-config"), item
        assert pod["spec"]["enableServiceLinks"] is False


@EVERY_SHAPE
def test_every_container_has_requests_limits_and_a_tag(name: str) -> None:
    for item, pod in pods(name):
        for each in pod["spec"]["containers"]:
            assert set(each["resources"]["requests"]) == set(each["resources"]["limits"]) == {"cpu", "memory"}, item
            assert re.search(r"(:0\.1\.0|@sha256:[0-9a-f]{64})$", each["image"]), each["image"]
            assert "envFrom" not in each


# ---- secrets ---------------------------------------------------------------------------------------------------------


@EVERY_SHAPE
def test_no_secret_stands_outside_a_secret(name: str) -> None:
    for item in objects(*shape(name)):
        if item["kind"] != "Secret":
            text = yaml.safe_dump(item)
            assert not any(secret in text for secret in SECRETS), item["metadata"]["name"]
            assert "PRIVATE KEY" not in text


def test_secrets_of_values_become_secrets() -> None:
    keys = one("Secret", "voice-gateway-api-keys", *shape("hosted"))
    assert keys["data"] == {"NVIDIA_API_KEY": "bnZhcGktZXhhbXBsZQ=="}
    references = {
        item["name"]: item["valueFrom"]["secretKeyRef"]
        for item in container(*shape("hosted"))["env"]
        if "secretKeyRef" in item.get("valueFrom", {})
    }
    assert references["NVIDIA_API_KEY"] == {"name": "voice-gateway-api-keys", "key": "NVIDIA_API_KEY", "optional": True}


def test_another_release_has_names_of_its_own() -> None:
    ours = {(item["kind"], item["metadata"]["name"]) for item in objects(*shape("embedded"))}
    theirs = {(item["kind"], item["metadata"]["name"]) for item in objects(*shape("embedded"), release="second")}
    assert ours & theirs == set()
    assert one("Deployment", "second-gateway", release="second")["spec"]["selector"]["matchLabels"] == {
        "app": "voice-gateway",
        "app.kubernetes.io/instance": "second",
    }


def test_extra_labels_and_annotations_reach_every_object() -> None:
    extra = given({"extraLabels": {"team": "voice"}, "extraAnnotations": {"owner": "ops"}})
    for item in objects(*shape("embedded"), *extra):
        assert item["metadata"]["labels"]["team"] == "voice"
        assert item["metadata"]["annotations"]["owner"] == "ops"
        if item["kind"] in WORKLOADS:
            assert pod_of(item)["metadata"]["labels"]["team"] == "voice"


def test_labels_annotations_and_selectors_are_text_whatever_set_makes_of_them() -> None:
    """`--set gateway.nodeSelector.gpu=true` is no text, and an API server takes nothing else."""
    values = (
        "extraLabels.tier=5",
        "extraAnnotations.since=1000000",
        "gateway.podLabels.canary=false",
        "gateway.podAnnotations.number=7",
        "gateway.nodeSelector.gpu=true",
        "embedded.nodeSelector.gpu=true",
        "monitoring.dashboards.enabled=true",
        "monitoring.dashboards.labels.grafana=1",
        "serviceAccount.annotations.quota=3",
    )
    for item in objects(*shape("embedded"), *(word for value in values for word in ("--set", value))):
        meta = item["metadata"]
        found = [meta["labels"], meta.get("annotations", {})]
        assert meta["labels"]["tier"] == "5"
        assert meta["annotations"]["since"] == "1000000"
        if item["kind"] in WORKLOADS:
            pod = pod_of(item)
            found += [pod["metadata"]["labels"], pod["metadata"].get("annotations", {}), pod["spec"]["nodeSelector"]]
        for mapping in found:
            assert all(isinstance(value, str) for value in mapping.values()), mapping
