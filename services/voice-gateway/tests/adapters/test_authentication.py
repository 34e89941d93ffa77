"""Who is let in by API keys and tokens, and what strangers learn."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from servicekit.rpc_auth import Metadata
from voice_gateway.adapters.api_keys import ApiKeys
from voice_gateway.adapters.authentication import SENTENCES, Authentication
from voice_gateway.adapters.followed_files import FileUnusable
from voice_gateway.adapters.jwt_tokens import JwtTokens
from voice_gateway.domain.errors import Unauthenticated

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"

RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
STRANGER = ec.generate_private_key(ec.SECP256R1())

ALGORITHMS = [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")]


def public_pem(key: Any) -> bytes:
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


def private_pem(key: Any) -> bytes:
    private: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private


def jwk(key: Any, **more: str) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        written = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        written = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        written = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**written, **more}


def refusal(authentication: Authentication, metadata: Metadata) -> str:
    """Why, as the metric's label says it; what strangers read is the sentence of that."""
    with pytest.raises(Unauthenticated) as caught:
        authentication.principal(metadata)
    assert str(caught.value) in SENTENCES.values()
    return caught.value.detail


# ---- API keys -------------------------------------------------------------------------------------------------------


class Keys:
    """A file of keys."""

    def __init__(self, folder: Path, content: str) -> None:
        self.file = folder / "keys"
        self.file.write_text(content)
        self.results: list[str] = []
        self.refused: list[str] = []
        self.keys = ApiKeys(self.file, on_change=self.results.append)
        self.authentication = Authentication(self.keys, on_refused=self.refused.append)

    def write(self, content: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(content)
        fresh.replace(self.file)
        self.keys.files.look()


def test_a_key_names_its_principal(tmp_path: Path) -> None:
    keys = Keys(tmp_path, f"# keys of the load test\n\n load : {KEY} \nphone@desk:{OTHER}\nload:{KEY[::-1]}x\n")
    name = keys.authentication.principal
    assert name([("user-agent", "x"), ("x-api-key", KEY)]) == "load"
    assert name([("authorization", f"Bearer {OTHER}")]) == "phone@desk"
    assert name([("authorization", f"bearer  {KEY[::-1]}x")]) == "load", "two keys, while one replaces the other"
    assert name([("x-api-key", KEY), ("authorization", "Basic of a proxy")]) == "load"


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ([], "missing"),
        ([("x-api-key", KEY[:-1])], "unknown_key"),
        ([("x-api-key", "")], "unknown_key"),
        ([("x-api-key", KEY), ("x-api-key", OTHER)], "malformed"),
        ([("x-api-key", "ü" * 9_000)], "malformed"),
        ([("authorization", KEY)], "malformed"),
        ([("authorization", "Bearer ")], "malformed"),
        ([("authorization", b"Bearer " + KEY.encode())], "malformed"),
    ],
)
def test_other_keys_are_refused(tmp_path: Path, metadata: Any, cause: str) -> None:
    keys = Keys(tmp_path, f"load:{KEY}\n")
    assert refusal(keys.authentication, metadata) == cause
    assert keys.refused == [cause]


def test_a_file_that_changes_counts_at_once_and_a_bad_one_does_not(tmp_path: Path) -> None:
    keys = Keys(tmp_path, f"load:{KEY}\n")
    keys.write(f"load:{OTHER}\n")
    assert refusal(keys.authentication, [("x-api-key", KEY)]) == "unknown_key"
    keys.write("load\n")
    assert keys.authentication.principal([("x-api-key", OTHER)]) == "load"
    assert keys.results == ["applied", "refused"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "holds no key; allowed is one principal:key to a line."),
        ("# nothing\n", "holds no key; allowed is one principal:key to a line."),
        (f"a:{KEY}\n{OTHER}\n", "is not principal:key, with a name of letters and digits."),
        (f"a b:{KEY}\n", "is not principal:key, with a name of letters and digits."),
        ("a:short\n", "allowed are 16 or more printable characters without spaces."),
        (f"a:{KEY} {KEY}\n", "allowed are 16 or more printable characters without spaces."),
        (f"a:{KEY}\nb:{KEY}\n", "is there already, for another principal."),
        ("".join(f"a:{KEY}{number}\n" for number in range(1_001)), "holds 1001 keys; allowed are 1000."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_showing_a_key(
    tmp_path: Path, content: str, sentence: str
) -> None:
    with pytest.raises(FileUnusable) as caught:
        Keys(tmp_path, content)
    assert str(caught.value).endswith(sentence)
    assert KEY not in str(caught.value)
    assert OTHER not in str(caught.value)


# ---- tokens ---------------------------------------------------------------------------------------------------------


def token(key: Any, algorithm: str, *, header: dict[str, str] | None = None, **claims: Any) -> str:
    now = int(time.time())
    standard = {"sub": "caller-7", "aud": "voice", "iss": "https://issuer", "exp": now + 60, "nbf": now - 60}
    kept = {name: value for name, value in {**standard, **claims}.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers=header)


def verified(tmp_path: Path, content: bytes, *, issuer: str = "https://issuer") -> Authentication:
    file = tmp_path / "public"
    file.write_bytes(content)
    return Authentication(JwtTokens(file, audience="voice", issuer=issuer, leeway_s=10))


def bearer(text: str) -> Metadata:
    return [("authorization", f"Bearer {text}")]


@pytest.mark.parametrize(("key", "algorithm"), ALGORITHMS, ids=[name for _, name in ALGORITHMS])
@pytest.mark.parametrize("form", ["pem", "jwks"])
def test_a_token_names_its_subject(tmp_path: Path, key: Any, algorithm: str, form: str) -> None:
    keys = [made for made, _ in ALGORITHMS]
    content = (
        b"".join(public_pem(made) for made in keys)
        if form == "pem"
        else json.dumps({"keys": [jwk(made, kid=str(number)) for number, made in enumerate(keys)]}).encode()
    )
    authentication = verified(tmp_path, content)
    assert authentication.principal(bearer(token(key, algorithm))) == "caller-7"
    assert authentication.principal(bearer(token(key, algorithm, aud=["other", "voice"]))) == "caller-7"


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"exp": NOW - 60}, "expired"),
        ({"exp": None}, "malformed"),
        ({"nbf": NOW + 600}, "not_yet_valid"),
        ({"iss": "https://other"}, "wrong_issuer"),
        ({"iss": None}, "malformed"),
        ({"aud": "other"}, "wrong_audience"),
        ({"aud": None}, "malformed"),
        ({"sub": None}, "malformed"),
        ({"sub": ""}, "malformed"),
        ({"sub": "a" * 129}, "malformed"),
        ({"sub": "line\nbreak"}, "malformed"),
    ],
)
def test_a_token_that_says_something_else_is_refused(tmp_path: Path, claims: dict[str, Any], cause: str) -> None:
    assert refusal(verified(tmp_path, public_pem(EC)), bearer(token(EC, "ES256", **claims))) == cause


def test_clocks_may_differ_a_little(tmp_path: Path) -> None:
    late = token(EC, "ES256", exp=int(time.time()) - 5)
    assert verified(tmp_path, public_pem(EC)).principal(bearer(late)) == "caller-7"


def test_an_issuer_that_is_not_set_is_not_looked_at(tmp_path: Path) -> None:
    anybody = token(EC, "ES256", iss="https://other")
    assert verified(tmp_path, public_pem(EC), issuer="").principal(bearer(anybody)) == "caller-7"


def unsigned(header: dict[str, str], **claims: Any) -> str:
    body = token(EC, "ES256", **claims).split(".")[1]
    return f"{jwt.utils.base64url_encode(json.dumps(header).encode()).decode()}.{body}."


def test_the_header_of_a_token_cannot_choose_how_it_is_checked(tmp_path: Path) -> None:
    """No signature; a public key taken as a shared secret; another key; another algorithm of the same key."""
    for key in (EC, RSA):
        authentication = verified(tmp_path, public_pem(key))
        assert refusal(authentication, bearer(unsigned({"alg": "none"}))) == "bad_signature"
        body = token(EC, "ES256").split(".")[1]
        head = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode()
        hashing = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signature = hashing.sign(f"{head}.{body}".encode(), public_pem(key))
        forged = f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}"
        assert refusal(authentication, bearer(forged)) == "bad_signature"
        assert refusal(authentication, bearer(token(STRANGER, "ES256"))) == "bad_signature"
    assert refusal(verified(tmp_path, public_pem(RSA)), bearer(token(RSA, "RS512"))) == "bad_signature"


def test_what_is_no_token_is_refused(tmp_path: Path) -> None:
    authentication = verified(tmp_path, public_pem(EC))
    assert refusal(authentication, bearer("abc")) == "malformed"
    assert refusal(authentication, bearer("a.b.c")) == "malformed"
    assert refusal(authentication, [("x-api-key", token(EC, "ES256"))]) == "missing"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def part(content: object) -> str:
    return jwt.utils.base64url_encode(json.dumps(content).encode()).decode()


@given(
    head=st.fixed_dictionaries(
        {},
        optional={
            "alg": st.sampled_from(["ES256", "none", "HS256", "x"]) | JSON,
            "kid": JSON,
            "crit": JSON,
            "b64": JSON,
            "typ": JSON,
            "jwk": JSON,
        },
    )
    | JSON,
    claims=JSON,
    signature=st.binary(max_size=70),
    text=st.text(max_size=200),
)
def test_nothing_that_strangers_send_is_more_than_refused(
    tmp_path_factory: pytest.TempPathFactory, head: Any, claims: Any, signature: bytes, text: str
) -> None:
    authentication = verified(tmp_path_factory.getbasetemp(), public_pem(EC))
    made = f"{part(head)}.{part(claims)}.{jwt.utils.base64url_encode(signature).decode()}"
    for credential in (made, text, f"{text}.{made}", token(EC, "ES256")[:-40] + text):
        refusal(authentication, bearer(credential))


def test_the_key_id_chooses_the_key(tmp_path: Path) -> None:
    keys = {"keys": [jwk(EC, kid="new"), jwk(STRANGER, kid="old"), jwk(RSA, use="enc"), {"kty": "unheard of"}]}
    authentication = verified(tmp_path, json.dumps(keys).encode())
    assert authentication.principal(bearer(token(EC, "ES256", header={"kid": "new"}))) == "caller-7"
    assert refusal(authentication, bearer(token(EC, "ES256", header={"kid": "old"}))) == "bad_signature"
    assert refusal(authentication, bearer(token(EC, "ES256", header={"kid": "gone"}))) == "bad_signature"
    assert refusal(authentication, bearer(token(RSA, "RS256"))) == "bad_signature"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no key that can be used; allowed are public keys of"),
        (public_pem(EC)[:-30], "holds no key that can be used; allowed are public keys of"),
        (private_pem(EC), "holds a private key; allowed are public keys of"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "holds a PEM block that is no public key"),
        (public_pem(rsa.generate_private_key(65_537, 1_024)), "holds a key of another kind; allowed are"),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "holds a key of another kind; allowed are"),
        (b"{", "is no JSON Web Key Set."),
        (b'{"keys": [1]}', "is no JSON Web Key Set."),
        (b'{"keys": []}', "holds no key that can be used"),
        (json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).encode(), "holds a private or shared key"),
        (json.dumps({"keys": [{**jwk(EC), "d": "AAAA"}]}).encode(), "holds a private or shared key"),
        (public_pem(EC) * 17, "holds 17 keys; allowed are 16."),
    ],
)
def test_a_file_of_other_keys_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(FileUnusable) as caught:
        verified(tmp_path, content)
    assert sentence in str(caught.value)
