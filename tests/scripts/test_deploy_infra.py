"""scripts/deploy_infra.sh and deploy_riva.sh: what they make, what they never show, how long they wait."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from script_cluster import ROOT, Call, ScriptCluster

pytestmark = pytest.mark.edge

KEY = "nvapi-Very_Secret-0123456789"


@pytest.fixture
def chart(tmp_path: Path) -> str:
    (tmp_path / "riva-api").mkdir()
    return str(tmp_path / "riva-api")


def secrets_of(cluster: ScriptCluster) -> dict[str, dict[str, str]]:
    """Secrets that were applied: their values in the clear."""
    found: dict[str, dict[str, str]] = {}
    for call in cluster.calls("kubectl"):
        for document in yaml.safe_load_all(call.stdin) if call.verb == "apply" else []:
            if document and document["kind"] == "Secret":
                found[document["metadata"]["name"]] = {
                    name: base64.b64decode(value).decode() for name, value in document["data"].items()
                }
    return found


def applied(cluster: ScriptCluster) -> list[dict[str, Any]]:
    """Every document that was applied."""
    given = [call.stdin for call in cluster.calls("kubectl") if call.verb == "apply"]
    return [document for text in given for document in yaml.safe_load_all(text) if document]


def objects(calls: list[Call]) -> list[tuple[str, str, str]]:
    """Kind, namespace and name of everything that was applied."""
    return [
        (document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"])
        for call in calls
        if call.verb == "apply"
        for document in yaml.safe_load_all(call.stdin)
        if document
    ]


def is_nowhere(secret: str, cluster: ScriptCluster, *texts: str) -> bool:
    """Whether a secret, plain or encoded, is in no argument and no output."""
    encoded = [base64.b64encode(text.encode()).decode() for text in (secret, f"$oauthtoken:{secret}")]
    forms = [secret, *encoded]
    places = [*texts, *(" ".join(call.argv) for call in cluster.calls())]
    return not any(form in place for form in forms for place in places)


def test_it_makes_namespace_disks_secrets_and_the_model(cluster: ScriptCluster) -> None:
    done = cluster.run("deploy_infra.sh", "--context", "test", NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    assert objects(cluster.calls("kubectl")) == [
        ("Namespace", "", "voice-workflow"),
        ("StorageClass", "", "voice-workflow-local"),
        ("PersistentVolume", "", "voice-workflow-nim-llm-cache"),
        ("PersistentVolumeClaim", "voice-workflow", "nim-llm-cache"),
        ("PersistentVolume", "", "voice-workflow-triton0"),
        ("Secret", "", "imagepullsecret"),
        ("Secret", "", "ngc-api"),
        ("Deployment", "voice-workflow", "nim-llm"),
        ("Service", "voice-workflow", "nim-llm"),
    ]
    assert secrets_of(cluster)["ngc-api"] == {"NGC_API_KEY": KEY, "NGC_CLI_API_KEY": KEY}
    login = json.loads(secrets_of(cluster)["imagepullsecret"][".dockerconfigjson"])["auths"]["nvcr.io"]
    assert login["username"] == "$oauthtoken"
    assert login["password"] == KEY
    assert base64.b64decode(login["auth"]).decode() == f"$oauthtoken:{KEY}"
    assert is_nowhere(KEY, cluster, done.out, done.err)
    assert cluster.left_files() == []


def test_secrets_leave_no_annotation_with_their_values(cluster: ScriptCluster) -> None:
    assert cluster.run("deploy_infra.sh", "--context", "test", NGC_API_KEY=KEY).status == 0
    for call in cluster.calls("kubectl"):
        if "kind: Secret" in call.stdin:
            assert "--server-side" in call.argv


def test_the_key_may_come_from_a_file(cluster: ScriptCluster) -> None:
    file = cluster.folder / "bin" / "key"
    file.write_text(KEY + "\n")
    done = cluster.run("deploy_infra.sh", "--context", "test", "--ngc-key-file", str(file))
    assert done.status == 0, done.err
    assert secrets_of(cluster)["ngc-api"]["NGC_API_KEY"] == KEY


@pytest.mark.parametrize("script", ["deploy_infra.sh", "deploy_riva.sh"])
def test_a_missing_key_is_told_with_the_way_to_get_one(cluster: ScriptCluster, script: str) -> None:
    done = cluster.run(script, "--context", "test")
    assert done.status == 1
    assert "an NGC API key is needed: set NGC_API_KEY or give --ngc-key-file FILE" in done.err
    assert "https://org.ngc.nvidia.com/setup/api-keys" in done.err
    assert not any(kind == "Secret" for kind, _, _ in objects(cluster.calls("kubectl")))


def test_a_key_with_a_quote_is_refused_and_not_shown(cluster: ScriptCluster) -> None:
    done = cluster.run("deploy_infra.sh", "--context", "test", NGC_API_KEY='nvapi"x')
    assert done.status == 1
    assert "no such key has" in done.err
    assert 'nvapi"x' not in done.err


def test_secrets_that_are_there_stay_until_they_are_renewed(cluster: ScriptCluster) -> None:
    cluster.set(objects=["secret/imagepullsecret", "secret/ngc-api"])
    done = cluster.run("deploy_infra.sh", "--context", "test")
    assert done.status == 0, done.err
    assert "secret ngc-api is there and stays" in done.err
    assert secrets_of(cluster) == {}
    done = cluster.run("deploy_infra.sh", "--context", "test", "--renew-secrets", NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    assert set(secrets_of(cluster)) == {"imagepullsecret", "ngc-api"}


@pytest.mark.parametrize(
    "words", [["deploy_infra.sh"], ["deploy_infra.sh", "--speech-nim", "--node", "node002"], ["deploy_riva.sh"]]
)
def test_a_dry_run_prints_the_commands_and_changes_nothing(cluster: ScriptCluster, words: list[str]) -> None:
    cluster.add("curl", "exit 1\n")
    done = cluster.run(words[0], *words[1:], "--context", "test", "--dry-run", NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    assert cluster.changes() == []
    assert "+ kubectl --context test --namespace voice-workflow apply" in done.out
    assert "dry run: nothing is changed" in done.err
    assert is_nowhere(KEY, cluster, done.out, done.err)
    assert cluster.left_files() == []


def test_another_namespace_and_node_share_nothing_with_the_first(cluster: ScriptCluster) -> None:
    done = cluster.run(
        "deploy_infra.sh", "--context", "test", "--namespace", "blue", "--node", "node002", "--llm", "none"
    )
    assert done.status == 0, done.err
    [call] = [call for call in cluster.calls("kubectl") if call.verb == "apply"]
    documents = {document["metadata"]["name"]: document for document in yaml.safe_load_all(call.stdin) if document}
    assert set(documents) == {"blue", "blue-local", "blue-nim-llm-cache", "nim-llm-cache", "blue-triton0"}
    volume = documents["blue-nim-llm-cache"]
    assert volume["spec"]["local"]["path"] == "/var/lib/blue/nim-llm-cache"
    assert volume["spec"]["claimRef"]["namespace"] == "blue"
    [term] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["node002"]
    assert documents["blue"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "voice-workflow"


def test_a_storage_class_takes_the_place_of_volumes_on_a_node(cluster: ScriptCluster) -> None:
    words = ["--storage-class", "fast", "--llm", "none", "--speech-nim"]
    done = cluster.run("deploy_infra.sh", "--context", "test", *words, NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    documents = applied(cluster)
    kinds = {document["kind"] for document in documents}
    assert "PersistentVolume" not in kinds
    assert "StorageClass" not in kinds
    claims = [document for document in documents if document["kind"] == "PersistentVolumeClaim"]
    assert {claim["metadata"]["name"] for claim in claims} == {"nim-llm-cache", "nim-asr-cache", "nim-tts-cache"}
    assert all(claim["spec"]["storageClassName"] == "fast" and "volumeName" not in claim["spec"] for claim in claims)
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    assert {("Deployment", "nim-asr"), ("Deployment", "nim-tts")} <= names


def test_what_a_cluster_lacks_is_said(cluster: ScriptCluster) -> None:
    done = cluster.run("deploy_infra.sh", "--context", "test", "--node", "gpu-7", NGC_API_KEY=KEY)
    assert done.status == 1
    assert "there is no node gpu-7" in done.err
    assert "Nodes: node001 node002." in done.err
    done = cluster.run("deploy_infra.sh", "--context", "test", "--llm", "operator", NGC_API_KEY=KEY)
    assert done.status == 1
    assert "this cluster has no NIM Operator" in done.err
    assert cluster.changes() == []
    cluster.set(gpus="\n\n")
    done = cluster.run("deploy_infra.sh", "--context", "test", NGC_API_KEY=KEY)
    assert done.status == 0
    assert "no node of this cluster offers nvidia.com/gpu" in done.err


def test_the_operator_takes_the_same_secrets_and_claim(cluster: ScriptCluster) -> None:
    cluster.set(objects=["crd/nimservices.apps.nvidia.com"])
    done = cluster.run("deploy_infra.sh", "--context", "test", "--llm", "operator", NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    assert {("NIMCache", "voice-workflow", "nim-llm"), ("NIMService", "voice-workflow", "nim-llm")} <= set(
        objects(cluster.calls("kubectl"))
    )


def test_a_model_that_does_not_come_up_is_told(cluster: ScriptCluster) -> None:
    cluster.set(rollout_fails=True)
    done = cluster.run("deploy_infra.sh", "--context", "test", "--wait-minutes", "5", NGC_API_KEY=KEY)
    assert done.status == 1
    assert "deployment/nim-llm is not ready" in done.err


def test_riva_gets_its_secrets_its_values_and_is_waited_for(cluster: ScriptCluster, chart: str) -> None:
    cluster.set(objects=["storageclass/voice-workflow-local"], triton_ready_at=2000)
    cluster.set(pods="triton0-5d Pending PodInitializing \nother Running\n")
    done = cluster.run("deploy_riva.sh", "--context", "test", "--chart", chart, NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    assert secrets_of(cluster)["modelpullsecret"] == {"apikey": KEY}
    assert secrets_of(cluster)["riva-model-deploy-key"] == {"key": "tlt_encode"}
    assert "imagepullsecret" in secrets_of(cluster)
    [upgrade] = [call for call in cluster.calls("helm") if call.verb == "upgrade"]
    assert upgrade.argv[4:8] == ["upgrade", "--install", "riva-api", chart]
    assert yaml.safe_load(upgrade.stdin)["ngcCredentials"]["password"] == ""
    assert "triton0-5d Pending PodInitializing" in done.err
    assert "| Downloading rmir_asr_parakeet" in done.err
    assert "other" not in done.err
    assert "Triton is ready" in done.err
    assert is_nowhere(KEY, cluster, done.out, done.err)


def test_riva_is_waited_for_ninety_minutes_and_no_longer(cluster: ScriptCluster, chart: str) -> None:
    cluster.set(triton_ready_at=10**9)
    done = cluster.run("deploy_riva.sh", "--context", "test", "--chart", chart, NGC_API_KEY=KEY)
    assert done.status == 1
    assert "90 minutes at most" in done.err
    assert "[85:00 of 90:00]" in done.err
    assert "[90:00 of 90:00]" in done.err
    assert "Triton is not ready after 90 minutes. It may still come: run this again" in done.err
    assert 5400 <= int((cluster.folder / "clock").read_text()) < 5700


def test_riva_that_cannot_start_is_not_waited_for(cluster: ScriptCluster, chart: str) -> None:
    cluster.set(triton_ready_at=10**9, pods="triton0-5d Pending ImagePullBackOff \n")
    done = cluster.run("deploy_riva.sh", "--context", "test", "--chart", chart, NGC_API_KEY=KEY)
    assert done.status == 1
    assert "a pod cannot start, and waiting will not mend it" in done.err
    assert int((cluster.folder / "clock").read_text()) <= 1200


def test_the_chart_is_fetched_with_the_key_on_standard_input(cluster: ScriptCluster) -> None:
    cluster.add(
        "curl",
        'printf "%s\\n" "$@" >"$STANDIN_DIR/curl-argv"; cat >"$STANDIN_DIR/curl-stdin"\n'
        'while [ "$1" != --output ]; do shift; done; : >"$2"\n',
    )
    words = ["--version", "2.18.0", "--wait-minutes", "0"]
    done = cluster.run("deploy_riva.sh", "--context", "test", *words, NGC_API_KEY=KEY)
    assert done.status == 0, done.err
    assert (cluster.folder / "curl-stdin").read_text() == f'user = "$oauthtoken:{KEY}"\n'
    argv = (cluster.folder / "curl-argv").read_text()
    assert "https://helm.ngc.nvidia.com/nvidia/riva/charts/riva-api-2.18.0.tgz" in argv
    assert KEY not in argv
    assert "--max-time\n300\n" in argv, "it does not wait for ever"
    assert [name for name in cluster.left_files() if not name.startswith("curl-")] == []


def test_a_chart_that_cannot_be_fetched_is_told(cluster: ScriptCluster) -> None:
    cluster.add("curl", 'cat >/dev/null; echo "curl: (22) The requested URL returned error: 401" >&2; exit 22\n')
    done = cluster.run("deploy_riva.sh", "--context", "test", NGC_API_KEY=KEY)
    assert done.status == 1
    assert "the chart could not be fetched" in done.err
    assert [call for call in cluster.calls("helm") if call.verb == "upgrade"] == []


def test_where_helm_fails_it_says_how_to_go_on(cluster: ScriptCluster, chart: str) -> None:
    cluster.set(helm_fails=True)
    done = cluster.run("deploy_riva.sh", "--context", "test", "--chart", chart, NGC_API_KEY=KEY)
    assert done.status == 1
    assert "The secrets are made: run this again once it is mended" in done.err
    assert "helm -n voice-workflow history riva-api" in done.err


def test_secrets_of_ours_are_taken_out_of_what_the_chart_renders(cluster: ScriptCluster) -> None:
    def document(kind: str, name: str) -> str:
        return f"---\n# Source: riva-api/templates/x.yaml\napiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n"

    stays = document("Secret", "theirs") + document("Service", "modelpullsecret")
    done = subprocess.run(
        [str(ROOT / "scripts/lib/without_secrets.sh")],
        input=document("Secret", "modelpullsecret") + stays + document("Secret", "imagepullsecret"),
        capture_output=True,
        text=True,
        check=True,
        env=cluster.env(),
        timeout=20,
    )
    assert done.stdout == stays
