"""Certificates made for one test."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes
    expires_at_s: float
    serial: int

    @property
    def files(self) -> dict[str, bytes]:
        """As a Secret of type kubernetes.io/tls has them."""
        return {"tls.crt": self.certificate, "tls.key": self.key}


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._built(self._name, self._key, timedelta(days=30), authority=True)

    @property
    def pem(self) -> bytes:
        """For those who trust it."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str = "gateway", *, valid: timedelta = timedelta(days=7), rsa_bits: int = 0) -> Issued:
        """A certificate that is good for `valid` from now on; negative: it has expired."""
        key: PrivateKey = (
            rsa.generate_private_key(65_537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._built(subject, key, valid, authority=False)
        return Issued(
            certificate.public_bytes(serialization.Encoding.PEM),
            private_pem(key),
            certificate.not_valid_after_utc.timestamp(),
            certificate.serial_number,
        )

    def _built(self, subject: x509.Name, key: PrivateKey, valid: timedelta, *, authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(authority=authority), critical=True)
        )
        if not authority:
            names: list[x509.GeneralName] = [
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"),
            ]  # fmt: skip
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def private_pem(key: PrivateKey) -> bytes:
    """A key without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def trusting(authority: Authority, own: Issued | None = None) -> grpc.ChannelCredentials:
    """What a client connects with; `own` is its certificate for mutual TLS."""
    return grpc.ssl_channel_credentials(
        authority.pem, own.key if own is not None else None, own.certificate if own is not None else None
    )
