"""The trial call, against a gateway whose calls play a script."""

from pathlib import Path

import pytest
from gateway_edge import Edge, served

from voice_gateway.adapters import trial_call
from voice_gateway.adapters.trial_call import Failed, Trial, read_arguments, run
from voice_gateway.application.messages import AnswerTextOut, AudioOut, EventKind, EventOut, Hello, TextIn
from voice_gateway.application.ports import CallTransport

pytestmark = pytest.mark.edge

ONE_SECOND = b"\1\0" * 16_000


async def answers(hello: Hello, transport: CallTransport) -> None:
    """Says what was asked, in a second of audio."""
    asked = await transport.receive()
    assert isinstance(asked, TextIn)
    await transport.send(AnswerTextOut(1, f"You said {asked.text}"))
    await transport.send(AudioOut(1, 1, 0, ONE_SECOND))
    await transport.send(EventOut(1, EventKind.END_OF_TURN))
    assert await transport.receive() is None


async def stays_silent(hello: Hello, transport: CallTransport) -> None:
    """Answers in writing only, as with a voice that fails."""
    await transport.send(AnswerTextOut(1, "Five."))


async def has_an_error(hello: Hello, transport: CallTransport) -> None:
    """Speaks, and says that something was wrong."""
    await transport.send(EventOut(1, EventKind.ERROR, "The language model does not answer.", "LLM_UNAVAILABLE"))
    await answers(hello, transport)


def trial(edge: Edge, *arguments: str) -> Trial:
    return read_arguments([f"127.0.0.1:{edge.gateway.calls.port}", "--text", "hello", "--timeout-s", "20", *arguments])


async def test_a_call_that_is_answered_in_words_and_sound_is_told() -> None:
    async with served(answers) as edge:
        ready, asked, answered, spoken = await run(trial(edge))
    assert ready.endswith("is ready")
    assert (asked, answered) == ("asked:    hello", "answered: You said hello")
    assert "1.0 s of audio" in spoken


@pytest.mark.parametrize(
    ("script", "sentence"),
    [(stays_silent, "5 characters and 0 bytes"), (has_an_error, "The language model does not answer.")],
)
async def test_a_call_that_is_not_well_fails(script: object, sentence: str) -> None:
    assert callable(script)
    async with served(script) as edge:
        with pytest.raises(Failed, match=sentence):
            await run(trial(edge))


async def test_without_a_credential_only_readiness_is_asked() -> None:
    async with served(answers) as edge:
        lines = await run(trial(edge, "--health-only"))
        assert edge.runner.hellos == []
    assert lines[-1].startswith("no call was made")


async def test_a_gateway_that_drains_is_not_ready() -> None:
    async with served(answers) as edge:
        edge.gateway.calls.ready(False)
        with pytest.raises(Failed, match="NOT_SERVING"):
            await run(trial(edge))


def test_the_first_key_of_the_file_goes_along(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# of the first line\n\nops:key-of-ops:with-a-colon\nother:key\n")
    chosen = read_arguments(["gateway:50051", "--api-keys-file", str(keys)])
    assert chosen.metadata == (("authorization", "Bearer key-of-ops:with-a-colon"),)


def test_the_first_authority_that_is_there_is_trusted(tmp_path: Path) -> None:
    certificate = tmp_path / "tls.crt"
    certificate.write_bytes(b"PEM")
    chosen = read_arguments(["gateway:50051", "--tls-ca", str(tmp_path / "ca.crt"), "--tls-ca", str(certificate)])
    assert chosen.ca_pem == b"PEM"


@pytest.mark.parametrize("flag", ["--tls-ca", "--api-keys-file", "--token-file"])
def test_a_file_that_is_not_there_is_refused_with_its_name(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert trial_call.main(["gateway:50051", flag, str(missing)]) == trial_call.EXIT_BAD_ARGUMENTS
    assert str(missing) in capsys.readouterr().err


def test_a_file_without_a_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# none\n")
    assert trial_call.main(["gateway:50051", "--api-keys-file", str(keys)]) == trial_call.EXIT_BAD_ARGUMENTS
    assert "principal:key" in capsys.readouterr().err
