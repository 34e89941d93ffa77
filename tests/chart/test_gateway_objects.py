"""Names and numbers that clusters, dashboards and people already count on."""

from typing import Any

import pytest
import yaml
from charts import RELEASE, container, deployment, env, given, objects, one, shape

from monitoring.check import RULES
from monitoring.generate import CHART, PAGES

pytestmark = pytest.mark.usefixtures("real_helm")

GATEWAY = "voice-gateway-gateway"


def kinds(*arguments: str) -> set[tuple[str, str]]:
    return {(item["kind"], item["metadata"]["name"]) for item in objects(*arguments)}


def test_the_names_of_a_release_called_voice_gateway() -> None:
    assert kinds() == {
        ("Deployment", GATEWAY),
        ("Service", GATEWAY),
        ("Service", f"{GATEWAY}-headless"),
        ("ConfigMap", "voice-gateway-config"),
        ("PodDisruptionBudget", f"{GATEWAY}-pdb"),
        ("ServiceAccount", GATEWAY),
        ("Role", GATEWAY),
        ("RoleBinding", GATEWAY),
        ("Pod", f"{GATEWAY}-test"),
    }


def test_ports_resources_and_replicas() -> None:
    assert deployment()["spec"]["replicas"] == 1
    gateway = container()
    assert {port["name"]: port["containerPort"] for port in gateway["ports"]} == {"grpc": 50051, "metrics": 8080}
    assert gateway["resources"] == {
        "requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }
    service = one("Service", GATEWAY)["spec"]
    assert service["type"] == "ClusterIP"
    assert {port["name"]: (port["port"], port["targetPort"]) for port in service["ports"]} == {
        "grpc": (50051, "grpc"),
        "metrics": (8080, "metrics"),
    }
    assert env()["GATEWAY_LISTEN_ADDRESS"] == "0.0.0.0:50051"
    assert env()["METRICS_LISTEN_ADDRESS"] == "0.0.0.0:8080"


def test_probes_are_native_and_tell_liveness_from_readiness() -> None:
    gateway = container()
    assert gateway["livenessProbe"] == {
        "grpc": {"port": 50051, "service": "liveness"},
        "initialDelaySeconds": 15, "periodSeconds": 30, "timeoutSeconds": 5, "failureThreshold": 3,
    }  # fmt: skip
    assert gateway["readinessProbe"] == {
        "grpc": {"port": 50051, "service": "readiness"},
        "initialDelaySeconds": 5, "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3,
    }  # fmt: skip


def test_probes_by_connection_where_asked() -> None:
    assert container(*shape("own-config"))["livenessProbe"]["tcpSocket"] == {"port": 50051}
    assert container(*shape("own-config"))["livenessProbe"]["periodSeconds"] == 20


def test_one_pod_must_stay() -> None:
    spec = one("PodDisruptionBudget", f"{GATEWAY}-pdb")["spec"]
    assert spec["minAvailable"] == 1
    assert one("PodDisruptionBudget", f"{GATEWAY}-pdb", *shape("ha"))["spec"]["minAvailable"] == "50%"
    own = one("PodDisruptionBudget", f"{GATEWAY}-pdb", *shape("own-config"))["spec"]
    assert own["maxUnavailable"] == 1
    assert "minAvailable" not in own


def test_the_headless_service_has_no_metrics_to_be_counted_twice() -> None:
    spec = one("Service", f"{GATEWAY}-headless")["spec"]
    assert spec["clusterIP"] == "None"
    assert [port["name"] for port in spec["ports"]] == ["grpc"]


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_metrics_stay_inside_where_callers_come_from_outside(kind: str) -> None:
    values = given({"gateway.service.type": kind, "monitoring.serviceMonitor.enabled": True})
    callers = one("Service", GATEWAY, *values)["spec"]
    assert (callers["type"], [port["name"] for port in callers["ports"]]) == (kind, ["grpc"])
    metrics = one("Service", f"{GATEWAY}-metrics", *values)
    assert metrics["spec"]["type"] == "ClusterIP"
    assert [(port["name"], port["port"]) for port in metrics["spec"]["ports"]] == [("metrics", 8080)]
    wanted = one("ServiceMonitor", GATEWAY, *values)["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= metrics["metadata"]["labels"].items()


def test_a_new_pod_starts_before_an_old_one_leaves_and_pods_spread_over_nodes() -> None:
    spec = deployment()["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]


# ---- leaving ---------------------------------------------------------------------------------------------------------


def test_the_grace_period_is_what_draining_adds_up_to() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    assert env()["DRAIN_RESUMABLE_SECONDS"] == "10"
    assert env()["DRAIN_LEGACY_MAX_SECONDS"] == "300"
    assert container()["lifecycle"] == {"preStop": {"sleep": {"seconds": 3}}}
    assert pod["terminationGracePeriodSeconds"] == 3 + 300 + 10


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({"drain.legacyMaxSeconds": 0, "drain.endpointSeconds": 0}, 20),
        ({"drain.legacyMaxSeconds": "3600"}, 3613),
        ({"gateway.terminationGracePeriodSeconds": 600}, 600),
        ({"gateway.terminationGracePeriodSeconds": "313"}, 313),
    ],
)
def test_the_grace_period_follows_the_values(values: dict[str, Any], seconds: int) -> None:
    assert deployment(*given(values))["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds


def test_without_a_wait_there_is_no_hook() -> None:
    assert "lifecycle" not in container(*given({"drain.endpointSeconds": 0}))


# ---- TLS, authentication, the key of resumes -------------------------------------------------------------------------


def mounts(*arguments: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Path and source of each volume of the gateway."""
    volumes = {item["name"]: item for item in deployment(*arguments)["spec"]["template"]["spec"]["volumes"]}
    return {
        mount["name"]: (mount["mountPath"], volumes[mount["name"]]) for mount in container(*arguments)["volumeMounts"]
    }


def test_with_tls_health_is_asked_on_a_port_of_its_own() -> None:
    gateway, variables = container(*shape("ha")), env(*shape("ha"))
    assert {port["name"]: port["containerPort"] for port in gateway["ports"]}["health"] == 50052
    assert gateway["readinessProbe"]["grpc"] == {"port": 50052, "service": "readiness"}
    assert gateway["livenessProbe"]["grpc"] == {"port": 50052, "service": "liveness"}
    assert variables["HEALTH_LISTEN_ADDRESS"] == "0.0.0.0:50052"
    assert variables["TLS_CERT_FILE"] == "/etc/voice-gateway/tls/tls.crt"
    assert variables["TLS_KEY_FILE"] == "/etc/voice-gateway/tls/tls.key"
    assert "TLS_CLIENT_CA_FILE" not in variables
    path, volume = mounts(*shape("ha"))["tls"]
    assert (path, volume["secret"]["secretName"]) == ("/etc/voice-gateway/tls", "voice-gateway-tls")
    assert container(*shape("mutual-tls"))["readinessProbe"]["tcpSocket"] == {"port": 50052}
    assert env(*shape("mutual-tls"))["TLS_CLIENT_CA_FILE"] == "/etc/voice-gateway/tls/ca.crt"
    # Nobody but the kubelet needs it.
    assert {port["name"] for port in one("Service", GATEWAY, *shape("ha"))["spec"]["ports"]} == {"grpc", "metrics"}


def test_without_tls_there_is_nothing_of_it() -> None:
    assert not {key for key in env() if key.startswith("TLS_") or key == "HEALTH_LISTEN_ADDRESS"}
    assert set(mounts()) == {"config", "resume-keys", "tmp"}


def test_a_certificate_names_the_services() -> None:
    spec = one("Certificate", GATEWAY, *shape("ha"))["spec"]
    assert spec["secretName"] == "voice-gateway-tls"
    assert f"{GATEWAY}.voice-workflow.svc.cluster.local" in spec["dnsNames"]
    assert f"{GATEWAY}-headless" in spec["dnsNames"]


def test_keys_of_callers_are_mounted_where_the_gateway_looks() -> None:
    assert env()["AUTH_MODE"] == "off"
    with_keys = env(*shape("grpcroute"))
    assert with_keys["AUTH_MODE"] == "api_key"
    assert with_keys["AUTH_API_KEYS_FILE"] == "/etc/voice-gateway/auth/api-keys"
    path, volume = mounts(*shape("grpcroute"))["auth"]
    assert (path, volume["secret"]["secretName"]) == ("/etc/voice-gateway/auth", "voice-gateway-auth")
    assert set(one("Secret", "voice-gateway-auth", *shape("grpcroute"))["data"]) == {"api-keys"}
    with_tokens = env(*shape("ingress"))
    assert with_tokens["AUTH_JWT_PUBLIC_KEY_FILE"] == "/etc/voice-gateway/auth/jwt-public-key"
    assert with_tokens["AUTH_JWT_AUDIENCE"] == "voice"
    assert set(one("Secret", "voice-gateway-auth", *shape("ingress"))["data"]) == {"jwt-public-key"}
    assert mounts(*shape("ha"))["auth"][1]["secret"]["secretName"] == "voice-callers"


def test_off_without_quotes_is_off() -> None:
    assert env(*given({"auth.mode": False}))["AUTH_MODE"] == "off"


def test_the_key_of_resumes_is_mounted_and_never_made_without_a_cluster() -> None:
    path, volume = mounts()["resume-keys"]
    assert path == "/etc/voice-gateway/resume"
    assert volume["secret"]["secretName"] == "voice-gateway-resume-keys"
    assert volume["secret"]["items"] == [{"key": "keys", "path": "keys"}]
    assert env()["RESUME_KEYS_FILE"] == "/etc/voice-gateway/resume/keys"
    assert not [item for item in objects() if item["kind"] == "Secret"]
    assert mounts(*shape("ha"))["resume-keys"][1]["secret"]["secretName"] == "voice-seal"
    assert env(*shape("ha"))["RESUME_VALID_SECONDS"] == "600"
    assert "RESUME_KEYS_FILE" not in env(*shape("own-config"))


# ---- rights ----------------------------------------------------------------------------------------------------------


def test_the_gateway_may_write_events_and_patch_pods_and_nothing_else() -> None:
    rules = one("Role", GATEWAY)["rules"]
    assert {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]} == {
        ("events", "create"), ("pods", "patch"),
    }  # fmt: skip
    assert {group for rule in rules for group in rule["apiGroups"]} == {""}
    (subject,) = one("RoleBinding", GATEWAY)["subjects"]
    assert subject["name"] == deployment()["spec"]["template"]["spec"]["serviceAccountName"] == GATEWAY
    assert {"KUBERNETES_EVENTS": "true", "POD_DELETION_COST": "true"}.items() <= env().items()


def test_each_right_can_be_left_out() -> None:
    only_events = one("Role", GATEWAY, *given({"kubernetes.podDeletionCost": False}))["rules"]
    assert [rule["resources"] for rule in only_events] == [["events"]]
    assert ("Role", GATEWAY) not in kinds(*shape("own-config"))
    assert ("Role", GATEWAY) not in kinds(*given({"rbac.create": False}))


# ---- scaling, policies, monitoring -----------------------------------------------------------------------------------


def test_an_autoscaler_owns_the_number_of_pods() -> None:
    assert "replicas" not in deployment(*shape("hpa"))["spec"]
    spec = one("HorizontalPodAutoscaler", GATEWAY, *shape("hpa"))["spec"]
    assert spec["metrics"] == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "voice_gateway_active_streams"},
                "target": {"type": "AverageValue", "averageValue": "20"},
            },
        }
    ]
    assert spec["scaleTargetRef"]["name"] == GATEWAY


def test_keda_asks_prometheus_for_the_calls_of_this_release() -> None:
    assert "replicas" not in deployment(*shape("ha"))["spec"]
    spec = one("ScaledObject", GATEWAY, *shape("ha"))["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["query"] == (
        f'sum(voice_gateway_active_streams{{namespace="voice-workflow",pod=~"{GATEWAY}-.*"}})'
    )
    assert trigger["metadata"]["threshold"] == "60"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 10)


def test_embedded_backends_listen_to_the_gateway_only() -> None:
    scrapers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    restricted = (*shape("embedded"), *given({"networkPolicy.scrapers": scrapers}))
    responder = one("NetworkPolicy", "voice-gateway-responder", *restricted)["spec"]["ingress"]
    worker = one("NetworkPolicy", "voice-gateway-speech-worker", *restricted)["spec"]["ingress"]
    for calls in (*responder, worker[0]):
        (peer,) = calls["from"]
        assert peer["podSelector"]["matchLabels"]["app"] == "voice-gateway"
    assert worker[1:] == [{"ports": [{"port": "metrics", "protocol": "TCP"}], "from": scrapers}]
    gateway = one("NetworkPolicy", GATEWAY, *shape("embedded"))["spec"]
    reached = {to["podSelector"]["matchLabels"]["app"] for rule in gateway["egress"] for to in rule.get("to", [])}
    assert reached == {"voice-speech-worker", "voice-responder"}


def test_where_callers_are_restricted_the_test_may_call() -> None:
    calls = one("NetworkPolicy", GATEWAY, *shape("ha"))["spec"]["ingress"][0]
    assert calls["from"][-1]["podSelector"]["matchLabels"]["app"] == "voice-gateway-test"


def test_every_rule_and_dashboard_is_shipped() -> None:

    groups = one("PrometheusRule", GATEWAY, *shape("ha"))["spec"]["groups"]
    files = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    assert {group["name"]: len(group["rules"]) for group in groups} == {
        group["name"]: len(group["rules"]) for group in files
    }
    links = {rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert all(link.startswith("https://runbooks.example.com/voice#") for link in links)
    summaries = [rule["annotations"]["summary"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert any("{{ $labels.pod }}" in summary for summary in summaries)
    boards = one("ConfigMap", "voice-gateway-dashboards", *shape("ha"))
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert len(boards["data"]) == len(PAGES)
    for name, text in boards["data"].items():
        assert text == (CHART / "dashboards" / name.removeprefix("voice-workflow-")).read_text()


def test_prometheus_finds_the_metrics_under_the_job_of_the_alerts() -> None:
    spec = one("ServiceMonitor", GATEWAY, *shape("ha"))["spec"]
    service = one("Service", GATEWAY, *shape("ha"))
    assert service["metadata"]["labels"][spec["jobLabel"]] == RELEASE
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert spec["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_prometheus_finds_the_embedded_speech_worker_whose_alerts_are_shipped() -> None:
    values = (*shape("embedded"), *given({"monitoring.serviceMonitor.enabled": True}))
    spec = one("ServiceMonitor", "voice-gateway-speech-worker", *values)["spec"]
    service = one("Service", "voice-gateway-speech-worker", *values)
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}["metrics"] == "metrics"
    (worker,) = one("Deployment", "voice-gateway-speech-worker", *values)["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in worker["ports"]}
    assert {item["name"]: item["value"] for item in worker["env"]}["SPEECH_METRICS_PORT"] == str(ports["metrics"])
    assert ("ServiceMonitor", "voice-gateway-speech-worker") not in kinds(*shape("ha"))


def test_nothing_of_custom_resources_by_default() -> None:
    groups = {item["apiVersion"] for item in objects()}
    assert groups == {"v1", "apps/v1", "policy/v1", "rbac.authorization.k8s.io/v1"}


# ---- callers from outside --------------------------------------------------------------------------------------------


def test_an_ingress_speaks_grpc_and_keeps_long_calls() -> None:
    ingress = one("Ingress", GATEWAY, *shape("ingress"))
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPC"
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "3600"
    assert ingress["spec"]["tls"] == [{"secretName": "voice-tls", "hosts": ["voice.example.com"]}]
    (rule,) = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": GATEWAY, "port": {"name": "grpc"}}


def test_traefik_is_told_on_the_service_how_to_speak_to_the_pods() -> None:
    key = "traefik.ingress.kubernetes.io/service.serversscheme"
    service = one("Service", GATEWAY, *shape("ingress"))
    assert service["metadata"]["annotations"] == {key: "h2c"}
    tls = given({"tls.enabled": True, "tls.existingSecret": "voice-tls"})
    assert one("Service", GATEWAY, *shape("ingress"), *tls)["metadata"]["annotations"] == {key: "https"}
    own = given({"gateway.service.annotations": {key: "http", "owner": "ops"}})
    service = one("Service", GATEWAY, *shape("ingress"), *own)
    assert service["metadata"]["annotations"] == {key: "http", "owner": "ops"}
    assert "annotations" not in one("Service", GATEWAY)["metadata"]


def test_annotations_of_the_values_win() -> None:
    key = "nginx.ingress.kubernetes.io/proxy-read-timeout"
    escaped = key.replace(".", "\\.")
    ingress = one("Ingress", GATEWAY, *shape("ingress"), *given({f"ingress.annotations.{escaped}": "60"}))
    assert ingress["metadata"]["annotations"][key] == "60"


def test_a_route_leads_to_the_service_and_checks_its_certificate() -> None:
    route = one("GRPCRoute", GATEWAY, *shape("grpcroute"))["spec"]
    assert route["rules"] == [{"backendRefs": [{"name": GATEWAY, "port": 50051}]}]
    policy = one("BackendTLSPolicy", GATEWAY, *shape("grpcroute"))["spec"]
    assert policy["targetRefs"] == [{"group": "", "kind": "Service", "name": GATEWAY, "sectionName": "grpc"}]
    assert policy["validation"]["hostname"] == "voice.example.com"


# ---- embedded, and the test ------------------------------------------------------------------------------------------


def test_embedded_the_gateway_calls_the_services_beside_it() -> None:
    variables = env(*shape("embedded"))
    uri = variables["RIVA_URI"]
    assert uri == "voice-gateway-speech-worker:50051"
    assert one("Service", uri.split(":")[0], *shape("embedded"))["spec"]["ports"][0]["port"] == 50051
    assert variables["LLM_BASE_URL"] == "http://voice-gateway-responder:8000/v1"
    assert one("Service", "voice-gateway-responder", *shape("embedded"))["spec"]["ports"][0]["port"] == 8000
    worker = one("Deployment", "voice-gateway-speech-worker", *shape("embedded"))["spec"]["template"]["spec"]
    variables = {item["name"]: item["value"] for item in worker["containers"][0]["env"]}
    assert variables["SPEECH_LISTEN_ADDRESS"] == "0.0.0.0:50051"


def test_half_of_it_can_be_of_ones_own() -> None:
    values = given({"embedded.enabled": True, "embedded.speechWorker.enabled": False, "riva.uri": "riva.speech:50051"})
    variables = env(*values)
    assert variables["RIVA_URI"] == "riva.speech:50051"
    assert variables["LLM_BASE_URL"] == "http://voice-gateway-responder:8000/v1"
    assert ("Deployment", "voice-gateway-speech-worker") not in kinds(*values)


def test_helm_test_calls_with_what_the_gateway_asks_for() -> None:
    def arguments(name: str) -> list[str]:
        (only,) = one("Pod", f"{GATEWAY}-test", *shape(name))["spec"]["containers"]
        return list(only["args"])

    assert arguments("default")[:3] == ["-m", "voice_gateway.adapters.trial_call", f"{GATEWAY}:50051"]
    assert "--api-keys-file" in arguments("grpcroute")
    assert "--tls-ca" in arguments("grpcroute")
    assert "--token-file" in arguments("ingress")
    pod = one("Pod", f"{GATEWAY}-test", *shape("grpcroute"))["spec"]
    (tls,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "tls"]
    assert {item["key"] for item in tls["items"]} == {"ca.crt", "tls.crt"}, "never the private key"
    assert ("Pod", f"{GATEWAY}-test") not in kinds(*shape("mutual-tls"))
