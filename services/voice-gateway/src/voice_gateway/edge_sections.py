"""The sections of the settings tree about who may call, and about the cluster around the process."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from voice_gateway.setting_sections import Section, ServerSettings, setting
from voice_gateway.turn_sections import TurnTakingSettings


def _exists(value: Path | None) -> Path | None:
    if value is not None and not value.is_file():
        raise ValueError("no such file; allowed is a file that exists, or empty")
    return value


class TlsSettings(Section):
    """TLS at the gateway's own listener."""

    cert_file: Path | None = setting(None, applies="restart", allowed="a PEM file that exists, or empty")
    """The certificate that callers see, with its chain. Empty: callers connect without TLS. A file that changes counts
    at once, for new connections; a pair that cannot be used is refused, and the one before stays."""
    key_file: Path | None = setting(None, applies="restart", allowed="a PEM file that exists, or empty")
    """Its key, RSA or ECDSA, without a password."""
    client_ca_file: Path | None = setting(None, applies="restart", allowed="a PEM file that exists, or empty")
    """Authorities of callers' certificates; who has none of theirs cannot connect. Empty: callers need no
    certificate."""

    _checked = field_validator("cert_file", "key_file", "client_ca_file")(_exists)


class AuthSettings(Section):
    """Who may call."""

    mode: Literal["off", "api_key", "jwt"] = setting("off", applies="restart")
    """off: everybody who can connect. api_key: who sends a key of AUTH_API_KEYS_FILE. jwt: who sends a token that a key
    of AUTH_JWT_PUBLIC_KEY_FILE signed. Off, since a first call needs no secret, and the listener is on loopback."""
    api_keys_file: Path | None = setting(None, applies="restart", allowed="a file that exists, or empty")
    """Keys, one principal:key to a line; # begins a comment. A file that changes counts at once, for new calls."""
    jwt_public_key_file: Path | None = setting(None, applies="restart", allowed="a PEM or JWKS file, or empty")
    """Public keys of the issuer of tokens: RSA (RS256), ECDSA over P-256 (ES256) or Ed25519 (EdDSA), as PEM blocks or
    a JSON Web Key Set. A file that changes counts at once, for new calls."""
    jwt_issuer: str = setting("", applies="restart")
    """What a token's `iss` must be. Empty: it is not looked at, since the key says who signed."""
    jwt_audience: str = setting("", applies="restart")
    """What a token's `aud` must name, so that tokens made for other services do not open this one."""
    jwt_leeway_seconds: float = setting(30.0, unit="s", applies="restart", ge=0, le=300)
    """How much the clocks of issuer and gateway may differ. Clocks of a cluster differ by less than a second."""

    _checked = field_validator("api_keys_file", "jwt_public_key_file")(_exists)


class KubernetesSettings(Section):
    """What the cluster is told of this pod."""

    events: bool = setting(False, alias="KUBERNETES_EVENTS", applies="restart")
    """Whether edits and certificates that are refused, and edits that are applied, are posted as Events of the pod. Its
    service account must be permitted to create events."""
    deletion_cost: bool = setting(False, alias="POD_DELETION_COST", applies="restart")
    """Whether the pod's annotation controller.kubernetes.io/pod-deletion-cost follows the number of calls, so that a
    Deployment that shrinks takes idle pods first. The service account must be permitted to patch pods."""
    pod_name: str = setting("", alias="POD_NAME", applies="restart")
    """Name of the pod, from the downward API."""
    pod_namespace: str = setting("", alias="POD_NAMESPACE", applies="restart")
    """Its namespace, from the downward API."""
    service_host: str = setting("", alias="KUBERNETES_SERVICE_HOST", applies="restart")
    """Where the API server is. The kubelet sets it."""
    service_port: int = setting(443, alias="KUBERNETES_SERVICE_PORT", applies="restart", ge=1, le=65_535)
    """Its port. The kubelet sets it."""
    account_dir: Path = setting(
        Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        alias="KUBERNETES_ACCOUNT_DIR",
        applies="restart",
        allowed="a folder that holds token and ca.crt",
    )
    """Where the kubelet mounts the service account's token, which is read again for each request."""


class EdgeSettings(TurnTakingSettings):
    """The tree with the part that is about the edge."""

    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()


def edge_inconsistency(
    server: ServerSettings, tls: TlsSettings, auth: AuthSettings, kubernetes: KubernetesSettings
) -> str:
    """One sentence about keys that do not go together, or nothing."""
    if tls.cert_file is not None and tls.key_file is None:
        return "TLS_KEY_FILE is not set; TLS_CERT_FILE needs it"
    if tls.key_file is not None and tls.cert_file is None:
        return "TLS_CERT_FILE is not set; TLS_KEY_FILE needs it"
    if tls.client_ca_file is not None and tls.cert_file is None:
        return "TLS_CERT_FILE is not set; TLS_CLIENT_CA_FILE needs it, since callers show certificates over TLS only"
    if auth.mode == "api_key" and auth.api_keys_file is None:
        return "AUTH_API_KEYS_FILE is not set; AUTH_MODE=api_key needs it"
    if auth.mode == "jwt" and auth.jwt_public_key_file is None:
        return "AUTH_JWT_PUBLIC_KEY_FILE is not set; AUTH_MODE=jwt needs it"
    if auth.mode == "jwt" and not auth.jwt_audience:
        return "AUTH_JWT_AUDIENCE is not set; AUTH_MODE=jwt needs it, or tokens for other services would do"
    for key, address in (
        ("GATEWAY_LISTEN_ADDRESS", server.listen_address),
        ("METRICS_LISTEN_ADDRESS", server.metrics_listen_address),
    ):
        if server.health_listen_address == address and address and not address.endswith(":0"):
            return f"HEALTH_LISTEN_ADDRESS is {address}, which is {key} already; allowed is another port, or empty"
    return _kubernetes_inconsistency(kubernetes)


def _kubernetes_inconsistency(kubernetes: KubernetesSettings) -> str:
    wanted = {"KUBERNETES_EVENTS": kubernetes.events, "POD_DELETION_COST": kubernetes.deletion_cost}
    needed = {
        "POD_NAME": kubernetes.pod_name,
        "POD_NAMESPACE": kubernetes.pod_namespace,
        "KUBERNETES_SERVICE_HOST": kubernetes.service_host,
    }
    for feature, on in wanted.items():
        for key, value in needed.items():
            if on and not value:
                return f"{key} is not set; {feature}=true needs it"
    return ""
