"""scripts/deploy_gateway.sh: drift between live configuration and chart is found, told, and settled as told."""

import json
from typing import Any

import pytest
from script_cluster import Done, ScriptCluster

pytestmark = pytest.mark.edge

DRIFT = 3


def deployed(cluster: ScriptCluster, *words: str, **edits: str | None) -> None:
    """A first deploy, and edits of the live ConfigMap after it; None takes a key away."""
    done = deploy(cluster, *words)
    assert done.status == 0, done.err
    live = dict(state(cluster)["configmap"])
    for name, value in edits.items():
        if value is None:
            del live[name]
        else:
            live[name] = value
    cluster.set(configmap=live, configmap_version="8")
    (cluster.folder / "calls.jsonl").unlink()


def state(cluster: ScriptCluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cluster.folder / "state.json").read_text())
    return found


def deploy(cluster: ScriptCluster, *words: str) -> Done:
    """With a chart of which only the name counts: the stand-in for Helm has one of its own."""
    return cluster.run("deploy_gateway.sh", "--context", "test", "--chart", str(cluster.chart), *words)


def test_the_first_deploy_makes_the_namespace_and_the_release(cluster: ScriptCluster) -> None:
    done = deploy(
        cluster,
        "--embedded",
        "--image",
        "registry.test:5000/team/voice-gateway:1.2",
        "--set",
        "config.llm.temperature=0.6",
    )
    assert done.status == 0, done.err
    assert [call.verb for call in cluster.changes()] == ["apply", "upgrade"]
    upgrade = cluster.changes()[1].argv
    assert upgrade[4:7] == ["upgrade", "--install", "voice-gateway"]
    assert upgrade[7] == str(cluster.chart)
    assert "gateway.image.repository=registry.test:5000/team/voice-gateway" in upgrade
    assert "gateway.image.tag=1.2" in upgrade
    assert "embedded.enabled=true" in upgrade
    assert "embedded.image.repository=registry.test:5000/team/voice-speech-worker" in upgrade
    assert any(call.verb == "rollout" for call in cluster.calls("kubectl"))
    assert cluster.left_files() == []


def test_without_edits_an_upgrade_goes_through_and_tells_what_it_changes(cluster: ScriptCluster) -> None:
    deployed(cluster)
    done = deploy(cluster, "--set", "config.llm.temperature=0.9")
    assert done.status == 0, done.err
    assert 'LLM_TEMPERATURE: "0.5" -> "0.9"' in done.out
    assert "Edited by hand" not in done.out


def test_an_edit_stops_the_upgrade_and_is_shown(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7", ENDPOINT_SILENCE_MS="600")
    done = deploy(cluster)
    assert done.status == DRIFT
    assert 'LLM_TEMPERATURE\n    chart set   "0.5"\n    live        "0.7"\n    would set   "0.5"' in done.out
    assert "left alone because the chart does not set it: ENDPOINT_SILENCE_MS" in done.out
    assert "--keep-live" in done.err
    assert "--take-chart" in done.err
    assert cluster.changes() == []
    assert cluster.left_files() == []


def test_kept_edits_become_values_and_survive_the_next_deploy(cluster: ScriptCluster) -> None:
    prompt = 'You are a Hindi-speaking assistant.\nRespond in Hindi: "नमस्ते".'
    deployed(cluster, LLM_TEMPERATURE="0.7", LLM_SYSTEM_PROMPT=prompt)
    done = deploy(cluster, "--keep-live")
    assert done.status == 0, done.err
    assert state(cluster)["configmap"]["LLM_TEMPERATURE"] == "0.7"
    assert state(cluster)["configmap"]["LLM_SYSTEM_PROMPT"] == prompt
    done = deploy(cluster)
    assert done.status == 0, done.out
    assert state(cluster)["configmap"]["LLM_SYSTEM_PROMPT"] == prompt


def test_the_chart_wins_where_it_is_told_to(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7")
    done = deploy(cluster, "--take-chart")
    assert done.status == 0, done.err
    assert "these edits are overwritten" in done.err
    assert state(cluster)["configmap"]["LLM_TEMPERATURE"] == "0.5"


def test_an_edit_that_the_upgrade_makes_too_is_no_drift(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7")
    done = deploy(cluster, "--set", "config.llm.temperature=0.7")
    assert done.status == 0, done.out


def test_both_sides_changed_is_drift(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7")
    done = deploy(cluster, "--set", "config.llm.temperature=0.9")
    assert done.status == DRIFT
    assert 'live        "0.7"\n    would set   "0.9"' in done.out


def test_keep_live_against_a_set_of_the_same_key_is_refused(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7")
    done = deploy(cluster, "--keep-live", "--set", "config.llm.temperature=0.9")
    assert done.status == 1
    assert "a --set of this command sets them too" in done.err
    assert cluster.changes() == []


def test_a_key_taken_away_by_hand_is_drift_that_cannot_be_kept(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_MODEL=None)
    done = deploy(cluster)
    assert done.status == DRIFT
    assert "live        (not set)" in done.out
    assert deploy(cluster, "--keep-live").status == 1
    assert cluster.changes() == []
    assert deploy(cluster, "--take-chart").status == 0


def test_a_key_that_the_release_set_as_extra_is_kept_as_extra(cluster: ScriptCluster) -> None:
    deployed(cluster, "--set", "config.extra.ENDPOINT_SILENCE_MS=600", ENDPOINT_SILENCE_MS="700")
    done = deploy(cluster, "--keep-live")
    assert done.status == 0, done.err
    assert '{"config": {"extra": {"ENDPOINT_SILENCE_MS": "700"}}}' in done.err
    assert state(cluster)["configmap"]["ENDPOINT_SILENCE_MS"] == "700"


def test_a_configmap_of_the_operators_own_has_no_drift(cluster: ScriptCluster) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7")
    cluster.set(own_configmap=True)
    done = deploy(cluster, "--set", "config.existingConfigMap=mine")
    assert done.status == 0, done.err
    assert "configuration is yours" in done.err


@pytest.mark.parametrize("words", [[], ["--keep-live"], ["--take-chart"]])
def test_a_dry_run_changes_nothing(cluster: ScriptCluster, words: list[str]) -> None:
    deployed(cluster, LLM_TEMPERATURE="0.7")
    done = deploy(cluster, "--dry-run", *words)
    assert done.status == (0 if words else DRIFT)
    assert cluster.changes() == []
    assert (
        "+ helm --kube-context test --namespace voice-workflow upgrade --install voice-gateway" in done.out
    ) == bool(words)


def test_a_dry_run_into_nothing_prints_all_it_would_do(cluster: ScriptCluster) -> None:
    done = deploy(cluster, "--dry-run")
    assert done.status == 0, done.err
    assert "apply -f -    # its input: Namespace voice-workflow" in done.out
    assert "upgrade --install voice-gateway" in done.out
    assert cluster.changes() == []


@pytest.mark.parametrize("value", ["secrets.llmApiKey=sk-1", "auth.apiKeys.me=k", "tls.privateKey=x"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(cluster: ScriptCluster, value: str) -> None:
    done = deploy(cluster, "--set", value)
    assert done.status == 1
    assert "there for every process to read" in done.err
    assert value not in done.err
    assert cluster.calls() == []


def test_pods_that_do_not_come_up_are_told_with_the_way_back(cluster: ScriptCluster) -> None:
    cluster.set(rollout_fails=True)
    done = deploy(cluster)
    assert done.status == 1
    assert "the pods are not ready" in done.err
    assert "helm -n voice-workflow rollback voice-gateway" in done.err


def test_where_helm_fails_no_pod_is_blamed_and_the_way_on_is_told(cluster: ScriptCluster) -> None:
    cluster.set(helm_fails=True)
    done = deploy(cluster)
    assert done.status == 1
    assert "UPGRADE FAILED" in done.err
    assert "pods are not ready" not in done.err
    assert "helm -n voice-workflow rollback voice-gateway" in done.err
    assert "helm -n voice-workflow uninstall voice-gateway" in done.err
    assert [call.verb for call in cluster.calls("kubectl") if call.verb == "rollout"] == []


def test_a_values_file_that_is_not_there_is_told(cluster: ScriptCluster) -> None:
    done = deploy(cluster, "--values", "nowhere.yaml")
    assert done.status == 1
    assert "nowhere.yaml is not a file that can be read" in done.err


def test_what_is_taken_away_and_what_stays(cluster: ScriptCluster) -> None:
    deployed(cluster)
    done = cluster.run("undeploy.sh", "--context", "test")
    assert done.status == 1
    assert "Nobody is at a terminal to answer: give --yes" in done.err
    assert cluster.changes() == []
    done = cluster.run("undeploy.sh", "--context", "test", "--yes")
    assert done.status == 0, done.err
    assert [call.argv[4:6] for call in cluster.changes()] == [["uninstall", "voice-gateway"]]
    assert "kept: the disks" in done.err
    assert "kept: secrets, and the resume key" in done.err


def test_everything_is_taken_away_only_when_told(cluster: ScriptCluster) -> None:
    deployed(cluster)
    done = cluster.run("undeploy.sh", "--context", "test", "--all", "--dry-run")
    assert done.status == 0, done.err
    assert cluster.changes() == []
    assert "delete --ignore-not-found --wait=true --timeout=5m namespace voice-workflow" in done.out
    done = cluster.run("undeploy.sh", "--context", "test", "--all", "--yes")
    assert done.status == 0, done.err
    words = [" ".join(call.argv) for call in cluster.changes()]
    assert any("pvc nim-llm-cache" in line for line in words)
    assert any("secret imagepullsecret" in line for line in words)
    assert words[-1].endswith("namespace voice-workflow")
