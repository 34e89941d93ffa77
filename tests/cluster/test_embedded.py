"""The whole product on a cluster without a GPU, installed, edited and taken away by the scripts that people use."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from processes import ROOT

from bench import kube
from bench.kube import Namespace

pytestmark = [pytest.mark.timeout(400)]

DRIFT = 3
"""Exit status of deploy_gateway.sh where the live ConfigMap was edited and nobody said which side wins."""


def script(name: str, namespace: Namespace, *arguments: str) -> tuple[int, str]:
    """Exit status and output of one of our scripts, without a terminal."""
    context = kube.run("kubectl", "config", "current-context").strip()
    done = subprocess.run(
        [str(ROOT / "scripts" / name), "--context", context, "--namespace", namespace.name, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "VOICE": str(ROOT / ".venv/bin/voice")},
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def namespace(reachable: None) -> Iterator[Namespace]:
    """With the product in it, by deploy_gateway.sh."""
    repository, tag = kube.image("voice-gateway")
    with kube.namespace("voice-embedded") as namespace:
        status, said = script("deploy_gateway.sh", namespace, "--embedded", "--image", f"{repository}:{tag}")
        assert status == 0, said
        yield namespace


def test_it_answers_typed_and_spoken_questions(namespace: Namespace) -> None:
    status, said = script("smoke.sh", namespace)
    assert status == 0, said


def test_helm_test(namespace: Namespace) -> None:
    assert "Phase:          Succeeded" in namespace.helm("test", "voice-gateway", "--logs", timeout_s=180)


def test_an_edit_is_not_overwritten_unasked(namespace: Namespace) -> None:
    prompt = "You are a Hindi-speaking assistant. Respond in Hindi."
    patch = json.dumps({"data": {"LLM_SYSTEM_PROMPT": prompt}})
    namespace.kubectl("patch", "configmap", kube.CONFIG_MAP, "--type=merge", "-p", patch)
    status, said = script("deploy_gateway.sh", namespace)
    assert status == DRIFT, said
    assert "LLM_SYSTEM_PROMPT" in said
    status, said = script("deploy_gateway.sh", namespace, "--keep-live")
    assert status == 0, said
    assert namespace.get("configmap", kube.CONFIG_MAP)["data"]["LLM_SYSTEM_PROMPT"] == prompt
    status, said = script("deploy_gateway.sh", namespace)
    assert status == 0, said
