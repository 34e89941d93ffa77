"""What cannot work does not render, and says why."""

import re
from typing import Any

import pytest
from charts import CHART, container, given, refusal, rendered_text, shape

pytestmark = pytest.mark.usefixtures("real_helm")

OPEN_ROUTE = {"grpcRoute.enabled": True, "grpcRoute.parentRefs": [{"name": "public", "sectionName": "https"}]}
OPEN_INGRESS = {"ingress.enabled": True, "ingress.hosts": ["voice.example.com"]}
TLS = {"tls.enabled": True, "tls.existingSecret": "x"}
KEYS = {"auth.mode": "api_key", "auth.existingSecret": "callers"}
IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"extraLabels": {"app": "x"}}, "extraLabels and gateway.podLabels may not hold app"),
    ({"gateway.podLabels": {"app": "x"}}, "extraLabels and gateway.podLabels may not hold app"),
    ({"extraLabels": {"helm.sh/chart": "x"}}, "extraLabels and gateway.podLabels may not hold helm.sh/chart"),
    ({"config.extra.LLM_API_KEY": "k"}, "config.extra may not hold LLM_API_KEY: it is a secret"),
    ({"gateway.env.NVIDIA_API_KEY": "k"}, "gateway.env may not hold NVIDIA_API_KEY: it is a secret"),
    ({"config.extra.GATEWAY_LISTEN_ADDRESS": "x"}, "config.extra may not hold GATEWAY_LISTEN_ADDRESS: the"),
    ({"gateway.env.MAX_CALLS": 5}, "gateway.env may not hold MAX_CALLS: the chart sets it"),
    ({"config.extra.LLM_MODEL": "x"}, "config.extra may not hold LLM_MODEL: it is config.llm.model"),
    ({"gateway.env.LLM_TEMPERATURE": 1}, "gateway.env may not hold LLM_TEMPERATURE: the ConfigMap would win"),
    ({"config.extra.ENDPOINT_SILENCE": 5}, "config.extra.ENDPOINT_SILENCE is not a setting of this gateway"),
    ({"config.extra.APOLOGY_LLM": ["x"], "gateway.env.APOLOGY_LLM": "y"}, "APOLOGY_LLM is both in gateway.env and"),
    ({"config.existingConfigMap": "x", "config.extra.IDLE_SECONDS": 5}, "config.extra would go nowhere"),
    ({"gateway.extraEnv": [{"name": "RIVA_URI", "value": "x"}]}, "gateway.extraEnv may not hold RIVA_URI"),
    ({"gateway.terminationGracePeriodSeconds": 60}, "GracePeriodSeconds is 60, and draining may take 313"),
    ({"gateway.terminationGracePeriodSeconds": "312"}, "is 312, and draining may take 313"),
    ({"gateway.pdb.minAvailable": 2, "gateway.pdb.maxUnavailable": 1}, "exclude each other; leave one empty"),
    ({"gateway.pdb.minAvailable": ""}, "gateway.pdb needs minAvailable or maxUnavailable"),
    ({"gateway.pdb.minAvailable": 2}, "gateway.pdb.minAvailable is 2 with 1 pods"),
    ({"autoscaling.type": "hpa", "autoscaling.minReplicas": 11}, "autoscaling.minReplicas is 11; allowed is"),
    ({"autoscaling.type": "hpa", "autoscaling.callsPerPod": 31}, "autoscaling.callsPerPod is 31; allowed is"),
    ({"autoscaling.type": "keda"}, "needs autoscaling.keda.prometheusAddress"),
    ({"serviceAccount.create": False}, "rbac.create would give the namespace's default ServiceAccount"),
    ({"riva.enabled": True}, "the chart installs no Riva"),
    ({"nim.enabled": True}, "the chart installs no NIM"),
    ({"embedded.enabled": True, "gateway.env.BACKENDS": "hosted"}, "embedded.enabled and gateway.env.BACKENDS=hosted"),
    ({"embedded.enabled": True, "gateway.env.RIVA_URI": "x:1"}, "gateway.env.RIVA_URI and the embedded speech worker"),
    ({"embedded.enabled": True, "gateway.env.LLM_BASE_URL": "http://x"}, "gateway.env.LLM_BASE_URL and the embedded"),
    ({"embedded.enabled": True, "riva.tls": True}, "riva.tls and the embedded speech worker exclude each other"),
    ({"riva.caSecret": "ca"}, "riva.caSecret needs riva.tls=true"),
    ({"gateway.env.BACKENDS": "hosted"}, "BACKENDS is hosted, which needs NVIDIA's key"),
    ({"secrets.existingSecret": "x", "secrets.llmApiKey": "k"}, "secrets.existingSecret and keys as values exclude"),
    ({"tls.enabled": True}, "tls.enabled needs a certificate from exactly one of"),
    ({"tls.enabled": True, "tls.existingSecret": "a", "tls.certificate": "b", "tls.privateKey": "c"}, "exactly one"),
    ({"tls.existingSecret": "x"}, "tls.enabled is false: callers would not be encrypted"),
    ({"tls.enabled": True, "tls.certificate": "x"}, "tls.certificate and tls.privateKey belong together"),
    (
        {"tls.enabled": True, "tls.certificate": "x", "tls.privateKey": "y", "tls.clientCertificates": True},
        "tls.clientCertificates needs a Secret with ca.crt",
    ),
    ({"tls.enabled": True, "tls.certManager.enabled": True}, "needs tls.certManager.issuerRef"),
    ({"auth.apiKeys.app": "0123456789abcdef"}, "auth has keys, and auth.mode is off"),
    ({"auth.mode": "api_key"}, "needs either auth.existingSecret or auth.apiKeys"),
    ({**KEYS, "auth.apiKeys.app": "0123456789abcdef"}, "needs either auth.existingSecret or auth.apiKeys"),
    ({"auth.mode": "jwt", "auth.jwt.audience": "x"}, "needs either auth.existingSecret or auth.jwt.publicKey"),
    ({"auth.mode": "jwt", "auth.existingSecret": "x"}, "needs auth.jwt.audience"),
    ({"resume.enabled": False, "resume.existingSecret": "x"}, "resume.existingSecret is set, and resume.enabled is"),
    ({"ingress.enabled": True, "ingress.insecure": True}, "ingress.enabled needs ingress.hosts"),
    ({**OPEN_INGRESS, **KEYS}, "ingress.enabled without ingress.tls would carry speech in plaintext"),
    ({**OPEN_INGRESS, "ingress.tls": [{"secretName": "x"}]}, "ingress.enabled with auth.mode=off would let everybody"),
    ({"grpcRoute.enabled": True, "grpcRoute.insecure": True}, "grpcRoute.enabled needs grpcRoute.parentRefs"),
    ({**OPEN_ROUTE, **KEYS}, "grpcRoute.enabled without grpcRoute.tlsAtGateway would carry speech in plaintext"),
    ({**OPEN_ROUTE, "grpcRoute.tlsAtGateway": True}, "grpcRoute.enabled with auth.mode=off would let everybody call"),
    (
        {**OPEN_ROUTE, **KEYS, "grpcRoute.tlsAtGateway": True, "grpcRoute.parentRefs": [{"name": "public"}]},
        "grpcRoute.parentRefs needs a sectionName",
    ),
    (
        {**OPEN_ROUTE, **KEYS, "grpcRoute.tlsAtGateway": True, **TLS},
        "needs grpcRoute.backendTls.hostname",
    ),
    (
        {**OPEN_INGRESS, "ingress.insecure": True, **TLS, "tls.clientCertificates": True},
        "the proxy in between has no caller's certificate to show",
    ),
    ({"networkPolicy.egress.enabled": True}, "would cut the gateway off from its backends"),
    ({"gateway.service.nodePort": 30051}, "gateway.service.nodePort needs gateway.service.type NodePort"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "sentence"), IMPOSSIBLE, ids=[sentence for _, sentence in IMPOSSIBLE])
def test_what_cannot_work_is_refused_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(values)


def test_every_refusal_of_the_chart_is_tried() -> None:
    """All but the one that needs an old cluster."""
    template = (CHART / "templates/validate.yaml").read_text()
    sentences = re.findall(r'append \$all (?:\(printf )?"(.+?)"[ )]', template)
    assert len(sentences) == template.count("append $all") > 45
    said = "\n".join(refusal(values) for values, _ in IMPOSSIBLE)
    untried = [each for each in sentences if not all(part in said for part in re.split("%[sd]", each))]
    assert len(untried) == 1
    assert untried[0].startswith("The cluster runs Kubernetes")


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refusal({"riva.enabled": True, "nim.enabled": True, "tls.enabled": True})
    assert said.count("\n- ") == 3


def test_insecure_lets_both_through() -> None:
    values = given({**OPEN_ROUTE, **OPEN_INGRESS, "grpcRoute.insecure": True, "ingress.insecure": True})
    text = rendered_text("voice-gateway", *values)
    assert "kind: GRPCRoute" in text
    assert "kind: Ingress" in text


def test_keys_of_a_newer_image_are_let_through_where_asked() -> None:
    values = given({"config.extra.SOMETHING_NEW": 5, "config.checkKeys": False})
    assert 'SOMETHING_NEW: "5"' in rendered_text("voice-gateway", *values)


TYPOS: list[tuple[dict[str, Any], str]] = [
    ({"gatway.replicas": 2}, "gatway"),
    ({"gateway.replica": 2}, "replica"),
    ({"config.llm.temprature": 1}, "temprature"),
    ({"config.llm.temperature": "warm"}, "temperature"),
    ({"config.llm.temperature": 3}, "temperature"),
    ({"config.llm.maxTokens": 1.5}, "maxTokens"),
    ({"config.extra.endpointSilence": 5}, "endpointSilence"),
    ({"config.extra.APOLOGY_LLM": {"de": "x"}}, "APOLOGY_LLM"),
    ({"gateway.replicas": -1}, "replicas"),
    ({"gateway.probes.type": "http"}, "type"),
    ({"gateway.image.pullPolicy": "always"}, "pullPolicy"),
    ({"gateway.pdb.minAvailable": "half"}, "minAvailable"),
    ({"tls.enabled": "false"}, "enabled"),
    ({"auth.mode": "password"}, "mode"),
    ({"auth.apiKeys.app": "short"}, "apiKeys"),
    ({"auth.apiKeys.app": "sixteen or more, with blanks"}, "apiKeys"),
    ({"auth": {"apiKeys": {"team:app": "0123456789abcdef"}}}, "team:app"),
    ({"config.llm.model": ""}, "model"),
    ({"config.asr.language": ""}, "language"),
    ({"autoscaling.type": "vpa"}, "type"),
    ({"embedded.speechWorkers.enabled": True}, "speechWorkers"),
]


@pytest.mark.parametrize(("values", "named"), TYPOS, ids=[named for _, named in TYPOS])
def test_the_schema_refuses_what_is_not_a_value(values: dict[str, Any], named: str) -> None:
    said = refusal(values)
    assert "values don't meet the specifications of the schema" in said
    assert named in said


def test_a_number_in_quotes_is_a_number() -> None:
    assert container(*shape("own-config"))["livenessProbe"]["periodSeconds"] == 20
