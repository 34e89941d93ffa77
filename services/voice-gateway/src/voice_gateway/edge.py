"""The gateway's edge put together: TLS and keys at its listener, its status page, what the cluster is told.

Part of server.py, which alone uses it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from servicekit.logs import get_logger, set_log_level
from servicekit.settings import SettingsError
from voice_gateway.adapters.api_keys import ApiKeys
from voice_gateway.adapters.authentication import Authentication, Verifier
from voice_gateway.adapters.checkpoint_seal import FileKeys, ProcessKeys
from voice_gateway.adapters.config_file import FileConfigSource, FollowedConfig, StaticConfigSource
from voice_gateway.adapters.followed_files import FileUnusable, FollowedFiles, Refusal
from voice_gateway.adapters.grpc_server import Listener
from voice_gateway.adapters.kubernetes_api import KubernetesApi, PodIdentity
from voice_gateway.adapters.metrics_http import Page
from voice_gateway.adapters.pod_reports import PodReports
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.application.admission import Admission
from voice_gateway.application.config import CallConfig
from voice_gateway.settings import GatewaySettings, changed_keys, load, to_call_config

if TYPE_CHECKING:  # reads certificates: 4 MB that a gateway without TLS need not spend; tokens take as much again
    from voice_gateway.adapters.tls_certificates import TlsCertificates

log = get_logger(__name__)


class Reports(Protocol):
    """Tells the cluster about this pod."""

    @property
    def state(self) -> dict[str, bool]:
        """Which reports are made."""
        ...

    def event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Something happened that whoever looks at the pod wants to know."""
        ...

    async def run(self, calls: Callable[[], int]) -> None:
        """Report until cancelled, or until nothing is left to report. `calls` says how many are in progress."""
        ...


class NoReports:
    """Outside a cluster."""

    @property
    def state(self) -> dict[str, bool]:
        """None."""
        return {"deletion_cost": False, "events": False}

    def event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Nobody is told."""

    async def run(self, calls: Callable[[], int]) -> None:
        """Nothing to do."""


def pod_reports(settings: GatewaySettings, telemetry: PrometheusTelemetry) -> Reports:
    """What KUBERNETES_EVENTS and POD_DELETION_COST ask for."""
    chosen = settings.kubernetes
    if not (chosen.events or chosen.deletion_cost):
        return NoReports()
    pod = PodIdentity(chosen.pod_name, chosen.pod_namespace)
    api = KubernetesApi(chosen.service_host, chosen.service_port, pod, account=chosen.account_dir)
    return PodReports(
        api, deletion_cost=chosen.deletion_cost, events=chosen.events, on_result=telemetry.kubernetes_request
    )


class LiveConfig:
    """The configuration, followed where it is in a file. Logs, metrics and the cluster learn what becomes of edits."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        file: Path | None,
        environ: Mapping[str, str],
        telemetry: PrometheusTelemetry,
        reports: Reports,
    ) -> None:
        self._at_start = self._newest = settings
        self._changed: tuple[str, ...] = ()
        self._file = file
        self._environ = environ
        self._telemetry = telemetry
        self._reports = reports
        self._source: FollowedConfig = StaticConfigSource(to_call_config(settings))
        if file is not None:
            self._source = followed = FileConfigSource(
                file,
                self._read,
                initial=self._source.current(),
                on_reload=self._reloaded,
                changed_keys=lambda: self._changed,
            )
            followed.catch_up()

    @property
    def source(self) -> FollowedConfig:
        """Where calls have it from."""
        return self._source

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Keys that were edited and that only a new process reads."""
        return changed_keys(self._at_start, self._newest, applies="restart")

    def _read(self) -> CallConfig:
        """Read all of it again; the level of the logs is of no call, and counts at once."""
        newest = load(environ=self._environ, file=self._file)
        if (before := set_log_level(newest.log.level)) != newest.log.level:
            log.warning("log_level_changed", to=newest.log.level, before=before)
        waited = self.needs_restart
        self._changed = changed_keys(self._newest, newest)
        self._newest = newest
        if (waiting := self.needs_restart) and waiting != waited:
            log.warning("config_needs_restart", keys=list(waiting))
        return to_call_config(newest)

    def _reloaded(self, result: str) -> None:
        self._telemetry.config_reloaded(result)
        revision = self._source.current().revision
        refusal = self._source.history.refusal
        if result == "applied":
            keys = ", ".join(self._changed)
            self._reports.event("Normal", "ConfigApplied", f"Revision {revision} is in force; changed: {keys}.")
        elif result == "refused" and refusal is not None:
            said = " ".join(refusal.problems)
            self._reports.event("Warning", "ConfigRefused", f"Revision {revision} stays in force. {said}")


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands at the listener."""

    certificates: "TlsCertificates | None"
    authentication: Authentication | None
    resume_keys: ProcessKeys | FileKeys
    """What seals the states of calls."""
    followed: tuple[FollowedFiles[Any], ...]
    """Files that are renewed while the process runs."""

    def look(self) -> None:
        """Take what was renewed."""
        for files in self.followed:
            files.look()

    def listener(self, settings: GatewaySettings) -> Listener:
        """How callers come in."""
        return Listener(
            settings.server.listen_address,
            settings.limits.max_chunk_bytes,
            tls=self.certificates.credentials() if self.certificates is not None else None,
            authenticate=self.authentication.principal if self.authentication is not None else None,
            health_address=settings.server.health_listen_address,
        )


class Keys(Verifier, Protocol):
    """Knows callers by what a file holds."""

    files: FollowedFiles[Any]


def guard(settings: GatewaySettings, telemetry: PrometheusTelemetry, reports: Reports) -> Guard:
    """Read certificates and keys. Raises SettingsError."""
    try:
        certificates = _certificates(settings, telemetry, reports)
        keys = _keys(settings, telemetry, reports)
        resume_keys = _resume_keys(settings, telemetry, reports)
    except FileUnusable as error:
        raise SettingsError([str(error)]) from error
    authentication = None if keys is None else Authentication(keys, on_refused=telemetry.auth_refused)
    if authentication is not None and certificates is None:
        log.warning("keys_without_tls", help="what stands before this listener must encrypt, or keys can be read")
    followed = tuple(
        part.files
        for part in (certificates, keys, resume_keys)
        if part is not None and not isinstance(part, ProcessKeys)
    )
    return Guard(certificates, authentication, resume_keys, followed)


def _certificates(
    settings: GatewaySettings, telemetry: PrometheusTelemetry, reports: Reports
) -> "TlsCertificates | None":
    tls = settings.tls
    if tls.cert_file is None or tls.key_file is None:
        return None
    from voice_gateway.adapters.tls_certificates import TlsCertificates, TlsFiles  # noqa: PLC0415

    def changed(result: str) -> None:
        telemetry.credentials_changed("tls", result)
        telemetry.certificate_expires(certificates.expires_at_s)
        if result == "refused" and certificates.files.refusal is not None:
            reports.event("Warning", "CertificateRefused", " ".join(certificates.files.refusal.problems))

    certificates = TlsCertificates(TlsFiles(tls.cert_file, tls.key_file, tls.client_ca_file), on_change=changed)
    telemetry.certificate_expires(certificates.expires_at_s)
    if certificates.expires_at_s <= time.time():
        log.error("certificate_expired", at=_stamp(certificates.expires_at_s))
    return certificates


def _keys(settings: GatewaySettings, telemetry: PrometheusTelemetry, reports: Reports) -> Keys | None:
    auth = settings.auth

    def changed(result: str) -> None:
        _keys_changed(keys.files, result, telemetry, reports)

    keys: Keys
    if auth.mode == "api_key" and auth.api_keys_file is not None:
        keys = ApiKeys(auth.api_keys_file, on_change=changed)
    elif auth.mode == "jwt" and auth.jwt_public_key_file is not None:
        from voice_gateway.adapters.jwt_tokens import JwtTokens  # noqa: PLC0415

        keys = JwtTokens(
            auth.jwt_public_key_file,
            audience=auth.jwt_audience,
            issuer=auth.jwt_issuer,
            leeway_s=auth.jwt_leeway_seconds,
            on_change=changed,
        )
    else:
        return None
    return keys


def _resume_keys(settings: GatewaySettings, telemetry: PrometheusTelemetry, reports: Reports) -> ProcessKeys | FileKeys:
    path = settings.server.resume.keys_file
    if path is None:
        return ProcessKeys()

    def changed(result: str) -> None:
        _keys_changed(keys.files, result, telemetry, reports)
        log.info("resume_keys", sealing=keys.current().sealing_id, opening=sorted(keys.current().keys))

    try:
        keys = FileKeys(path, on_change=changed)
    except FileUnusable as error:
        raise FileUnusable(f"RESUME_KEYS_FILE: {error}") from error
    return keys


def _keys_changed(files: FollowedFiles[Any], result: str, telemetry: PrometheusTelemetry, reports: Reports) -> None:
    telemetry.credentials_changed(files.what, result)
    if result == "refused" and files.refusal is not None:
        reports.event("Warning", "KeysRefused", " ".join(files.refusal.problems))


class StatusPages:
    """What a person on call asks a pod: /status for everything, /healthz and /readyz for probes over HTTP.

    Nothing here is secret or personal: keys by name, values only where a refusal may show them.
    """

    def __init__(
        self,
        admission: Admission,
        guarded: Guard,
        reports: Reports,
        config: LiveConfig,
    ) -> None:
        self._admission = admission
        self._guard = guarded
        self._reports = reports
        self._config = config
        self._started = datetime.now(UTC)
        self.listening = False
        """Whether callers can connect."""

    @property
    def pages(self) -> Mapping[str, Page]:
        """By path."""
        return {
            "/healthz": lambda: (True, {"alive": True}),
            "/readyz": lambda: (self._ready, {"ready": self._ready}),
            "/status": lambda: (True, self._status()),
        }

    @property
    def _ready(self) -> bool:
        """A full gateway is ready: it answers a caller with when to come back."""
        return self.listening and not self._admission.draining

    def _status(self) -> dict[str, Any]:
        admission, history = self._admission, self._config.source.history
        certificates = self._guard.certificates
        return {
            "version": version("voice-gateway"),
            "started_at": self._started.isoformat(timespec="seconds"),
            "ready": self._ready,
            "draining": admission.draining,
            "calls": {"running": admission.running, "capacity": admission.max_calls},
            "config": {
                "revision": self._config.source.current().revision,
                "applied_at": _stamp(history.applied_at_s),
                "refused": history.refused,
                "last_refusal": _refusal(history.refusal),
                "needs_restart": list(self._config.needs_restart),
            },
            "tls": None if certificates is None else {"certificate_expires_at": _stamp(certificates.expires_at_s)},
            "credentials": {files.what: {"refusal": _refusal(files.refusal)} for files in self._guard.followed},
            "authenticated": self._guard.authentication is not None,
            "kubernetes": self._reports.state,
        }


def _stamp(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def _refusal(refusal: Refusal | None) -> dict[str, Any] | None:
    return None if refusal is None else {"at": _stamp(refusal.at_s), "problems": list(refusal.problems)}
