"""The key that seals calls is made once, whoever renders the chart again, and a key that was made by hand is used."""

import base64
from collections.abc import Iterator

import pytest

from bench import kube
from bench.kube import Namespace

pytestmark = [pytest.mark.timeout(120)]

SECRET = "voice-gateway-resume-keys"
MADE_BY_HAND = "by-hand:" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def namespace(reachable: None) -> Iterator[Namespace]:
    with kube.namespace("voice-resume-key") as namespace:
        yield namespace


def rendered(namespace: Namespace, command: str, *values: str) -> None:
    """No pod is needed to see what becomes of a Secret."""
    sets = [word for value in ("gateway.replicas=0", *values) for word in ("--set", value)]
    namespace.helm(command, "voice-gateway", str(kube.CHART), *sets)


def key(namespace: Namespace) -> str:
    return str(namespace.get("secret", SECRET)["data"]["keys"])


def test_upgrades_and_a_new_installation_keep_the_key(namespace: Namespace) -> None:
    rendered(namespace, "install")
    made = key(namespace)
    rendered(namespace, "upgrade", "kubernetes.events=false")
    assert key(namespace) == made
    namespace.helm("rollback", "voice-gateway")
    assert key(namespace) == made
    namespace.helm("uninstall", "voice-gateway")
    rendered(namespace, "install")
    assert key(namespace) == made


def test_an_edited_key_stays(namespace: Namespace) -> None:
    """As when it is rotated."""
    rendered(namespace, "install")
    edited = base64.b64encode(MADE_BY_HAND.encode()).decode()
    namespace.kubectl("patch", "secret", SECRET, "--type=merge", "-p", f'{{"data":{{"keys":"{edited}"}}}}')
    rendered(namespace, "upgrade")
    assert key(namespace) == edited


def test_a_secret_that_somebody_made_before_is_used_as_it_is(namespace: Namespace) -> None:
    """As `helm template` says that one should; Helm refuses to write what it did not make."""
    namespace.kubectl("create", "secret", "generic", SECRET, f"--from-literal=keys={MADE_BY_HAND}")
    rendered(namespace, "install")
    rendered(namespace, "upgrade")
    assert base64.b64decode(key(namespace)).decode() == MADE_BY_HAND
    assert "meta.helm.sh/release-name" not in namespace.get("secret", SECRET)["metadata"].get("annotations", {})
