"""Certificates that are renewed, and those that are not taken."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from gateway_certificates import Authority, Issued
from gateway_mount import Mounted

from voice_gateway.adapters.followed_files import FileUnusable
from voice_gateway.adapters.tls_certificates import TlsCertificates, TlsFiles

AUTHORITY = Authority()
FIRST = AUTHORITY.issue()


class Followed:
    """A mounted Secret, and the certificates made of it."""

    def __init__(self, folder: Path, issued: Issued = FIRST, client_ca: bytes | None = None) -> None:
        self.secret = Mounted(folder, self._files(issued.files, client_ca))
        self.results: list[str] = []
        self.certificates = TlsCertificates(
            TlsFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt" if client_ca is not None else None),
            on_change=self.results.append,
        )

    @staticmethod
    def _files(files: dict[str, bytes], client_ca: bytes | None = None) -> dict[str, bytes]:
        return files if client_ca is None else {**files, "ca.crt": client_ca}

    def swap(self, files: dict[str, bytes]) -> None:
        self.secret.swap(files)
        self.certificates.files.look()

    @property
    def problem(self) -> str:
        refusal = self.certificates.files.refusal
        return "" if refusal is None else " ".join(refusal.problems)


def test_a_renewed_pair_is_taken_once(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    assert followed.certificates.expires_at_s == FIRST.expires_at_s
    assert followed.certificates._newer() is None, "gRPC has the first from the start"
    renewed = AUTHORITY.issue(valid=timedelta(days=9))
    followed.swap(renewed.files)
    assert followed.certificates.expires_at_s == renewed.expires_at_s
    assert followed.certificates._newer() is followed.certificates.files.value.configuration
    assert followed.certificates._newer() is None
    assert followed.results == ["applied"]


def encrypted() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x" * 16)
    )


def of_another_kind() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"tls.crt": FIRST.certificate, "tls.key": AUTHORITY.issue().key}, "is not the key of the certificate in"),
        ({"tls.crt": FIRST.certificate, "tls.key": b"no key"}, "holds no PEM private key."),
        ({"tls.crt": FIRST.certificate, "tls.key": encrypted()}, "is encrypted; allowed is a key without a password."),
        ({"tls.crt": FIRST.certificate, "tls.key": of_another_kind()}, "allowed are RSA and ECDSA."),
        ({"tls.crt": b"", "tls.key": FIRST.key}, "holds no PEM certificate."),
        ({"tls.crt": FIRST.certificate}, "can't be read: No such file or directory."),
        ({"tls.crt": FIRST.certificate, "tls.key": b"x" * 1_048_577}, "is larger than 1 MiB."),
    ],
)
def test_a_broken_pair_is_refused(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    followed = Followed(tmp_path)
    before = followed.certificates.files.value
    followed.swap(files)
    assert sentence in followed.problem
    assert followed.certificates.files.value is before
    assert followed.certificates._newer() is None
    followed.certificates.files.look()
    assert followed.results == ["refused"], "told once"
    renewed = AUTHORITY.issue()
    followed.swap(renewed.files)
    assert (followed.problem, followed.results) == ("", ["refused", "applied"])
    with pytest.raises(FileUnusable, match=r"\."):
        Followed(tmp_path / "at start", Issued(files["tls.crt"], files.get("tls.key", b""), 0, 0))


def test_an_expired_certificate_does_not_take_the_place_of_another_and_is_better_than_none(tmp_path: Path) -> None:
    expired = AUTHORITY.issue(valid=timedelta(days=-1))
    followed = Followed(tmp_path / "a")
    followed.swap(expired.files)
    assert followed.problem == f"The certificate in {tmp_path}/a/tls.crt has expired."
    assert Followed(tmp_path / "b", expired).certificates.expires_at_s == expired.expires_at_s


def test_the_same_files_again_are_no_news(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.swap(FIRST.files)
    assert (followed.results, followed.certificates._newer()) == ([], None)


def test_a_refusal_is_over_when_the_files_are_as_before(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.swap({**FIRST.files, "tls.key": b""})
    followed.swap(FIRST.files)
    assert followed.problem == ""


def test_authorities_of_callers_are_checked_too(tmp_path: Path) -> None:
    followed = Followed(tmp_path, client_ca=AUTHORITY.pem)
    followed.swap({**FIRST.files, "ca.crt": b"nothing"})
    assert followed.problem == f"{tmp_path}/ca.crt holds no PEM certificate."
