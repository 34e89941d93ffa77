"""No script touches a cluster that nobody named, and each says what is missing."""

import os
import pty
import select
import subprocess
import time

import pytest
from script_cluster import ROOT, ScriptCluster

pytestmark = pytest.mark.edge

SCRIPTS = ["deploy_infra.sh", "deploy_riva.sh", "deploy_gateway.sh", "port_forward.sh", "smoke.sh", "undeploy.sh"]
LIMIT_S = 20


def arguments(cluster: ScriptCluster) -> dict[str, str]:
    """Variables for scripts that look for something before they look for a cluster."""
    cluster.add("voice", "exit 0\n")
    return {"VOICE": str(cluster.bin / "voice")}


def words_of(cluster: ScriptCluster, script: str) -> list[str]:
    return ["--chart", str(cluster.chart)] if script == "deploy_gateway.sh" else []


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_current_context_is_not_taken_without_being_named(cluster: ScriptCluster, script: str) -> None:
    done = cluster.run(script, *words_of(cluster, script), **arguments(cluster))
    assert done.status == 1
    assert "which cluster? Give --context NAME or set KUBE_CONTEXT" in done.err
    assert "Known here: test prod." in done.err
    assert "prod, is not taken" in done.err
    assert {call.verb for call in cluster.calls()} == {"config"}


def test_the_cluster_tests_take_no_cluster_that_nobody_named(cluster: ScriptCluster) -> None:
    done = cluster.run("test_cluster.sh", "--no-build")
    assert done.status == 2
    assert "which cluster? Set KUBECONFIG" in done.err
    assert cluster.calls() == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_context_that_is_not_there_is_told(cluster: ScriptCluster, script: str) -> None:
    done = cluster.run(script, *words_of(cluster, script), "--context", "tes", **arguments(cluster))
    assert done.status == 1
    assert "there is no context tes. Known here: test prod" in done.err
    assert {call.verb for call in cluster.calls()} == {"config"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_cluster_that_does_not_answer_is_told(cluster: ScriptCluster, script: str) -> None:
    cluster.set(answers=False)
    done = cluster.run(script, *words_of(cluster, script), **arguments(cluster), KUBE_CONTEXT="test")
    assert done.status == 1
    assert "context test (https://cluster.test:6443) does not answer: Unable to connect to the server" in done.err
    assert cluster.changes() == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_any_context_it_says_where_they_come_from(cluster: ScriptCluster, script: str) -> None:
    cluster.set(contexts=[], current="")
    done = cluster.run(script, *words_of(cluster, script), **arguments(cluster))
    assert done.status == 1
    assert "kubectl knows no cluster: set KUBECONFIG" in done.err


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_missing_kubectl_is_named_with_the_way_to_get_it(cluster: ScriptCluster, script: str) -> None:
    environ = arguments(cluster)
    (cluster.bin / "kubectl").unlink()
    done = cluster.run(script, *words_of(cluster, script), "--context", "test", **environ)
    assert done.status == 1
    assert "kubectl is not on the PATH: https://kubernetes.io/docs/tasks/tools/" in done.err


@pytest.mark.parametrize("script", ["deploy_riva.sh", "deploy_gateway.sh", "undeploy.sh"])
def test_a_missing_helm_is_named_with_the_way_to_get_it(cluster: ScriptCluster, script: str) -> None:
    (cluster.bin / "helm").unlink()
    done = cluster.run(script, *words_of(cluster, script), "--context", "test")
    assert done.status == 1
    assert "helm is not on the PATH: https://helm.sh/docs/intro/install/" in done.err
    assert cluster.changes() == []


@pytest.mark.parametrize("script", ["deploy_riva.sh", "deploy_gateway.sh", "undeploy.sh"])
@pytest.mark.parametrize("version", ["v3.9.4", "v3.14.2", "v2.17.0", ""])
def test_an_old_helm_is_refused(cluster: ScriptCluster, script: str, version: str) -> None:
    cluster.set(helm_version=version)
    done = cluster.run(script, *words_of(cluster, script), "--context", "test")
    assert done.status == 1
    assert "is too old" in done.err or "does not tell its version" in done.err
    assert cluster.changes() == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_comment_at_its_head(cluster: ScriptCluster, script: str) -> None:
    done = cluster.run(script, "--help")
    assert (done.status, done.err) == (0, "")
    assert f"Usage: scripts/{script}" in done.out
    assert "--context NAME" in done.out
    assert "set -euo" not in done.out
    assert cluster.calls() == []


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("words", [["--sudo"], ["--context"], ["--context", "test", "--namespace", "Voice;rm"]])
def test_wrong_use_is_told_and_touches_nothing(cluster: ScriptCluster, script: str, words: list[str]) -> None:
    done = cluster.run(script, *words_of(cluster, script), *words, **arguments(cluster))
    assert done.status == 2
    assert "--help)" in done.err
    assert cluster.changes() == []


def answered(cluster: ScriptCluster, script: str, *words: str, answer: str) -> tuple[int, str]:
    """Run a script at a terminal and answer its question."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(ROOT / "scripts" / script), *words],
        env=cluster.env(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen, until = "", time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < until:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                part = os.read(ours, 4096).decode()
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
            if "[y/N]" in part:
                os.write(ours, answer.encode() + b"\n")
        return process.wait(LIMIT_S), seen
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def test_at_a_terminal_the_current_context_is_asked_for(cluster: ScriptCluster) -> None:
    status, seen = answered(cluster, "deploy_infra.sh", "--llm", "none", answer="y")
    assert status == 0, seen
    assert "Use the current one, prod?" in seen
    assert {call.argv[1] for call in cluster.changes()} == {"prod"}


def test_anything_but_yes_changes_nothing(cluster: ScriptCluster) -> None:
    status, seen = answered(cluster, "deploy_infra.sh", "--llm", "none", answer="")
    assert status == 1
    assert "nothing was changed" in seen
    assert cluster.changes() == []


def test_every_call_names_the_context_and_the_namespace(cluster: ScriptCluster) -> None:
    done = cluster.run("deploy_infra.sh", "--context", "test", "--namespace", "blue", NGC_API_KEY="nvapi-k")
    assert done.status == 0, done.err
    for call in cluster.calls():
        if call.verb != "config":
            assert call.argv[:4] == ["--context", "test", "--namespace", "blue"], call
