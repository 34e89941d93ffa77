"""`voice say`, and callers who type, against two gateway processes of which one is killed, frozen or told to go."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from processes import Service, gateway_for
from story_tellers import ASKED, Say, StoryTellers, story_tellers

from voice_clients.events import Event, EventKind
from voice_clients.resuming import connect_resuming

pytestmark = [pytest.mark.edge, pytest.mark.timeout(150)]


@dataclass
class Two:
    """Gateways with one file of keys."""

    gateways: list[Service]
    backends: StoryTellers


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as stack:
        tellers = stack.enter_context(story_tellers(tmp_path))
        environ = {"RESUME_KEYS_FILE": str(tellers.keys), "DRAIN_RESUMABLE_SECONDS": "0.2"}
        gateways = [stack.enter_context(gateway_for(*tellers.backends(), **environ)) for _ in range(2)]
        yield Two(gateways, tellers)


@pytest.mark.parametrize(
    ("how", "cause"), [(signal.SIGKILL, "reset"), (signal.SIGSTOP, "silence"), (signal.SIGTERM, "go away")]
)
def test_say_repeats_nothing_and_the_history_holds_the_turn_once(
    two: Two, tmp_path: Path, how: signal.Signals, cause: str
) -> None:
    first = two.gateways[0].process
    addresses = [gateway.address for gateway in two.gateways]
    try:
        with Say(addresses, tmp_path / "answer.wav", "--timings", "off") as say:
            say.until("assistant:")  # some four seconds of it follow
            first.send_signal(how)
            out = say.rest()
    finally:
        if how == signal.SIGSTOP:
            first.kill()
            first.send_signal(signal.SIGCONT)
            first.wait()
    assert out.count("resuming ...") == 1
    assert f"({cause})" in out
    assert out.count("you: tell me a story") == 1
    assert two.backends.last_conversation() == ASKED


@dataclass
class Issuer:
    """Signs tokens, and writes its public key where gateways look for it."""

    folder: Path
    key: ec.EllipticCurvePrivateKey

    @property
    def trusted(self) -> dict[str, str]:
        """A gateway's settings."""
        public = self.folder / "issuer.pem"
        subject = serialization.PublicFormat.SubjectPublicKeyInfo
        public.write_bytes(self.key.public_key().public_bytes(serialization.Encoding.PEM, subject))
        return {"AUTH_MODE": "jwt", "AUTH_JWT_PUBLIC_KEY_FILE": str(public), "AUTH_JWT_AUDIENCE": "voice"}

    def token(self, subject: str, *, good_for_s: int) -> str:
        """Of that caller."""
        claims = {"sub": subject, "aud": "voice", "exp": int(time.time()) + good_for_s}
        return jwt.encode(claims, self.key, algorithm="ES256")


@pytest.mark.parametrize(("renewed_for", "goes_on"), [("anna", True), ("ben", False), (None, False)])
def test_a_call_outlives_its_token_if_the_next_one_is_of_the_same_caller(
    tmp_path: Path, renewed_for: str | None, goes_on: bool
) -> None:
    """The first gateway still takes a token that the second takes for expired."""
    issuer, file = Issuer(tmp_path, ec.generate_private_key(ec.SECP256R1())), tmp_path / "token"
    file.write_text(issuer.token("anna", good_for_s=-60))
    with ExitStack() as stack:
        tellers = stack.enter_context(story_tellers(tmp_path))
        environ = {"RESUME_KEYS_FILE": str(tellers.keys), **issuer.trusted}
        first, second = (
            stack.enter_context(gateway_for(*tellers.backends(), AUTH_JWT_LEEWAY_SECONDS=leeway, **environ))
            for leeway in ("300", "0")
        )
        options = ("--token-file", str(file), "--resume-for", "2", "--timings", "off")
        with Say([first.address, second.address], tmp_path / "answer.wav", *options) as say:
            say.until("assistant:")
            if renewed_for is not None:
                file.write_text(issuer.token(renewed_for, good_for_s=300))
            first.process.kill()
            status, out, error = say.end()
        assert out.count("resuming ...") == 1
        asked = tellers.last_conversation()
        refusals = second.events("resume_refused")
    assert (asked == ASKED) is goes_on
    if goes_on:
        assert (status, error) == (0, "")
        assert second.events("call_started")[0]["principal"] == first.events("call_started")[0]["principal"] == "anna"
    elif renewed_for is not None:
        assert status == 1
        assert "The checkpoint is of another caller" in error
        assert [entry["why"] for entry in refusals] == ["foreign"]
    else:
        assert status == 1
        assert "The token of this call has expired." in error


async def test_what_was_typed_is_asked_once(two: Two) -> None:
    addresses = [gateway.address for gateway in two.gateways]
    async with asyncio.timeout(60), connect_resuming(addresses) as call:
        await call.send_text("tell me a story")
        async for event in call:
            match event:
                case Event(kind=EventKind.SPEAKING) if not call.resumptions:
                    two.gateways[0].process.kill()
                case Event(kind=EventKind.END_OF_TURN, turn=1):
                    await call.send_text("thank you")
                case Event(kind=EventKind.END_OF_TURN):
                    await call.half_close()
                case _:
                    pass
    assert len(call.resumptions) == 1
    assert two.backends.last_conversation() == ASKED
