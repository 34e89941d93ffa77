"""k8s/infra: what the files refer to is what the scripts and the other files make."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "k8s/infra"
MANIFESTS = sorted(path for path in INFRA.glob("**/*.yaml") if path.name != "riva-values.yaml")
MADE_BY_SCRIPT = set(re.findall(r"wants_secret ([a-z-]+)", (ROOT / "scripts/lib/secrets.sh").read_text()))


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def every(value: Any, key: str) -> list[Any]:
    """All values of a key, however deep."""
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [found for part in value.values() for found in every(part, key)]
    if isinstance(value, list):
        return [found for part in value for found in every(part, key)]
    return []


def test_the_scripts_make_every_secret_that_is_named() -> None:
    named: set[str] = set()
    for path in MANIFESTS:
        for document in documents(path):
            named |= {reference["name"] for reference in every(document, "secretKeyRef")}
            named |= {reference["name"] for group in every(document, "imagePullSecrets") for reference in group}
            named |= {name for group in every(document, "pullSecrets") for name in group}
            named |= set(every(document, "pullSecret")) | set(every(document, "authSecret"))
    riva = yaml.safe_load((INFRA / "riva-values.yaml").read_text())["modelRepoGenerator"]
    named |= {riva["imagePullSecret"], riva["ngcSecret"], riva["modelDeploySecret"]}
    assert named == MADE_BY_SCRIPT


@pytest.mark.parametrize("path", [*MANIFESTS, INFRA / "riva-values.yaml"], ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    assert not any(document.get("kind") == "Secret" for document in documents(path))
    assert not re.search(r"nvapi-|(?i:password|apikey): *[\"']?[A-Za-z0-9]{8,}", path.read_text())


def test_every_claim_of_a_pod_is_made_and_has_its_volume() -> None:
    everything = [document for path in MANIFESTS for document in documents(path)]
    made = {(document["kind"], document["metadata"]["name"]): document for document in everything}
    wanted = {claim["claimName"] for document in everything for claim in every(document, "persistentVolumeClaim")}
    assert wanted == {"nim-llm-cache", "nim-asr-cache", "nim-tts-cache"}
    for name in wanted:
        claim = made["PersistentVolumeClaim", name]["spec"]
        volume = made["PersistentVolume", claim["volumeName"]]["spec"]
        assert volume["claimRef"] == {"namespace": "voice-workflow", "name": name}
        assert volume["storageClassName"] == claim["storageClassName"]
        assert volume["capacity"]["storage"] == claim["resources"]["requests"]["storage"]


def test_riva_and_its_volume_agree() -> None:
    [group] = yaml.safe_load((INFRA / "riva-values.yaml").read_text())["modelRepoGenerator"]["ngcModelConfigs"]
    volumes = {document["metadata"]["name"]: document for document in documents(INFRA / "00-namespace-pvc.yaml")}
    disk = yaml.safe_load((INFRA / "riva-values.yaml").read_text())["persistentVolumeClaim"]
    volume = volumes[f"voice-workflow-{group}"]["spec"]
    assert volume["claimRef"]["name"] == group
    assert volume["storageClassName"] == disk["storageClassName"]
    assert volume["capacity"]["storage"] == disk["storageSize"]


@pytest.mark.parametrize("path", [path for path in MANIFESTS if path.parent == INFRA], ids=lambda path: path.name)
def test_pods_keep_to_the_restricted_level(path: Path) -> None:
    for document in documents(path):
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == confined
            assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
            startup = container["startupProbe"]
            assert startup["periodSeconds"] * startup["failureThreshold"] == 90 * 60
            assert document["spec"]["progressDeadlineSeconds"] > 90 * 60
