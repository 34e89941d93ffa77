"""The certificate that the gateway shows at its own listener, renewed without a restart.

gRPC asks for a newer certificate before each handshake (`dynamic_ssl_server_credentials`), in threads of its own; the
answer is ready by then. Connections that stand keep the certificate that they began with.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from voice_gateway.adapters.followed_files import FileUnusable, FollowedFiles


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `client_ca` are the authorities of callers' certificates; None asks callers for none."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate that fits its key."""

    configuration: grpc.ServerCertificateConfiguration
    expires_at_s: float
    """Unix time."""


class TlsCertificates:
    """Follows the files. Raises FileUnusable when made of files that can't be used."""

    def __init__(self, files: TlsFiles, *, on_change: Callable[[str], None] = lambda _result: None) -> None:
        self._named = files
        self._fresh: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        """What gRPC has not taken yet: it copies a certificate with each answer but None."""
        paths = (files.certificate, files.key, *([files.client_ca] if files.client_ca else []))
        self._renewing = False
        self.files = FollowedFiles("tls", paths, self._make, on_change=on_change)
        self._initial = self.files.value.configuration
        self._fresh.clear()
        self._renewing = True

    @property
    def expires_at_s(self) -> float:
        """Unix time from which on callers refuse the certificate."""
        return self.files.value.expires_at_s

    def credentials(self) -> grpc.ServerCredentials:
        """For one listener."""
        return grpc.dynamic_ssl_server_credentials(
            self._initial,
            self._newer,  # type: ignore[arg-type] # None is gRPC's "no change", which the stubs leave out
            require_client_authentication=self._named.client_ca is not None,
        )

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Runs in gRPC's threads. None: nothing is new."""
        try:
            return self._fresh.pop()
        except IndexError:
            return None

    def _make(self, contents: Sequence[bytes]) -> Pair:
        certificate, key, *client_ca = contents
        leaf = _leaf(certificate, self._named.certificate)
        private = _private_key(key, self._named.key)
        if leaf.public_key() != private.public_key():
            raise FileUnusable(f"{self._named.key} is not the key of the certificate in {self._named.certificate}.")
        expires_at_s = leaf.not_valid_after_utc.timestamp()
        # At start an expired certificate is better than no gateway; later the one before it is.
        if self._renewing and expires_at_s <= time.time():
            raise FileUnusable(f"The certificate in {self._named.certificate} has expired.")
        if self._named.client_ca is not None:
            _leaf(client_ca[0], self._named.client_ca)
        configuration = grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=client_ca[0] if client_ca else None
        )
        self._fresh.append(configuration)
        return Pair(configuration, expires_at_s)


def _leaf(pem: bytes, file: Path) -> x509.Certificate:
    """The first certificate of a chain."""
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise FileUnusable(f"{file} holds no PEM certificate.") from error


def _private_key(pem: bytes, file: Path) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise FileUnusable(f"{file} is encrypted; allowed is a key without a password.") from error
    except ValueError as error:
        raise FileUnusable(f"{file} holds no PEM private key.") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise FileUnusable(f"{file} holds a key of another kind; allowed are RSA and ECDSA.")
    return key
