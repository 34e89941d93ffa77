"""The `voice` command as a person runs it: sentences, exit statuses, files, JSON."""

import asyncio
import json
import os
import pty
import signal
import sys
import wave
from pathlib import Path

import grpc
import pytest
from client_fake_gateway import ANSWER_CHUNKS, FakeGateway, serving, silence, tone
from client_harness import Finished, run_voice, write_question

from voice_clients.audio_file import write_wav
from voice_contracts import voice_workflow_pb2 as pb

pytestmark = pytest.mark.edge

CERTS = Path(__file__).parent / "support" / "certs"
ANSWER = tone(0.02) * ANSWER_CHUNKS


def answer_of(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        frames: bytes = file.readframes(file.getnframes())
        return frames


def one_sentence(done: Finished, status: int) -> str:
    """The single line on stderr."""
    assert done.status == status, done
    (line,) = done.err.splitlines()
    assert line.startswith("voice: ")
    assert "Traceback" not in done.err
    return line


async def test_say_plays_several_files_as_several_turns_and_keeps_the_answer(tmp_path: Path) -> None:
    gateway = FakeGateway()
    first, second = write_question(tmp_path), write_question(tmp_path, "second.wav")
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(first), str(second), "--target", target, "--out", "deep/answer.wav")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"playing {first}: 0.4 s at 16000 Hz, in real time"
    assert [line for line in lines if line.startswith(("you:", "assistant:"))] == [
        "you: hello gateway",
        "assistant: You said hello. Nice. ",
    ] * 2
    assert "latency of turn 2, 0 = end of speech (as the gateway reports it, endpoint by silence)" in lines
    assert lines[-1] == "the answer (0.4 s at 16000 Hz) is in deep/answer.wav"
    assert "\x1b" not in done.out
    assert answer_of(tmp_path / "deep" / "answer.wav") == ANSWER * 2
    assert gateway.heard.acks[-1] == (2, 3200)
    assert gateway.heard.half_closes == 1


async def test_say_fast_is_the_file_client_of_the_first_contract(tmp_path: Path) -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target:
        done = await run_voice(
            tmp_path,
            "say",
            str(write_question(tmp_path, rate=44_100)),
            "--fast",
            "--legacy",
            VOICE_GATEWAY_TARGET=target,
        )
    assert (done.status, done.err) == (0, "")
    assert "first answer audio" in done.out
    assert list(gateway.heard.configs[0].capabilities) == []
    assert gateway.heard.configs[0].sample_rate == 44_100
    assert gateway.heard.acks == []
    assert answer_of(tmp_path / "answer.wav") == tone(0.02, 44_100) * ANSWER_CHUNKS


async def test_say_tells_the_timings_of_each_turn_in_a_line(tmp_path: Path) -> None:
    files = [str(write_question(tmp_path)), str(write_question(tmp_path, "second.wav"))]
    async with serving(FakeGateway()) as target:
        done = await run_voice(tmp_path, "say", *files, "--timings", "line", "--target", target)
        off = await run_voice(tmp_path, "say", files[0], "--timings", "off", "--target", target)
        as_json = await run_voice(tmp_path, "say", *files, "--json", "--target", target)
    lines = [line for line in done.out.splitlines() if line.startswith("turn ")]
    told = "endpoint 200 > llm first token 320 > tts first audio 400 ms, endpoint by silence; here: "
    assert [line.partition("received ")[0] for line in lines] == [f"turn {number}: {told}" for number in (1, 2)]
    assert (off.status, "endpoint" in off.out) == (0, False)
    for turn in json.loads(as_json.out)["turns"]:
        assert turn["played_ms"] >= turn["response_ms"] > 0


async def test_say_json_is_one_document(tmp_path: Path) -> None:
    async with serving(FakeGateway()) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--json", "--fast", "--target", target)
    document = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (document["ok"], document["error"], document["call_id"]) == (True, None, "call-1")
    assert document["answer_wav"] == "answer.wav"
    (turn,) = document["turns"]
    assert turn["response_from"] == "final transcript"
    assert (turn["transcript"], turn["answer"], turn["answer_samples"]) == (
        "hello gateway",
        "You said hello. Nice.",
        3200,
    )
    assert [stage["stage"] for stage in turn["stages"]] == ["endpoint", "llm_first_token", "tts_first_audio"]


async def test_say_tells_what_it_converted(tmp_path: Path) -> None:
    import numpy as np  # noqa: PLC0415
    import soundfile  # noqa: PLC0415

    mono = np.frombuffer(tone(0.3) + silence(0.1), "<i2")
    soundfile.write(tmp_path / "s.wav", np.stack([mono, mono], axis=1), 16_000, subtype="PCM_U8")
    async with serving(FakeGateway()) as target:
        done = await run_voice(tmp_path, "say", "s.wav", "--fast", "--target", target)
    assert done.status == 0
    assert "2 channels mixed to one, 8 bit converted to 16 bit" in done.out


async def test_say_keeps_only_what_was_heard_of_an_interrupted_answer(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.flush_after_chunks = 4
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--json", "--target", target)
    document = json.loads(done.out)
    assert document["turns"][0]["interrupted"] is True
    heard = answer_of(tmp_path / "answer.wav") if document["answer_wav"] else b""
    assert len(heard) < len(tone(0.02)) * 4


async def test_say_keeps_what_was_heard_of_an_answer_that_paused_and_went_on(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.pause_after_chunks = 4
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--target", target, "--json")
    (turn,) = json.loads(done.out)["turns"]
    assert (turn["interrupted"], turn["resumed"], turn["answer_samples"]) == (False, 1, 3200)
    assert answer_of(tmp_path / "answer.wav") == ANSWER
    assert gateway.heard.acks[-1] == (2, 6 * 320)
    assert (1, 4 * 320) in gateway.heard.acks


@pytest.mark.parametrize("fast", [True, False])
async def test_say_without_recognised_speech_fails(tmp_path: Path, fast: bool) -> None:
    gateway = FakeGateway()
    gateway.script.mute = True
    async with serving(gateway) as target:
        arguments = ["--timeout", "0.5", *(["--fast"] if fast else [])]
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--target", target, *arguments)
    assert "recognised no speech" in one_sentence(done, 1)


async def test_say_tells_an_error_of_the_gateway(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.error_event = "The language model does not answer."
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--fast", "--target", target)
    assert one_sentence(done, 1) == "voice: The language model does not answer."
    assert "gateway: The language model does not answer." in done.out


async def test_say_tells_that_the_gateway_is_full(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.refuse = grpc.StatusCode.RESOURCE_EXHAUSTED
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--fast", "--target", target)
        as_json = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--json", "--target", target)
    assert one_sentence(done, 1) == "voice: The gateway is full: 10 of 10 calls are taken. Try again in 1.5 s."
    document = json.loads(as_json.out)
    assert (as_json.status, as_json.err, document["ok"], document["reason"]) == (1, "", False, "GATEWAY_FULL")


async def test_say_tells_that_the_connection_broke_off_and_keeps_what_came(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.break_after_bytes = 6400
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--target", target)
    assert "broke off" in one_sentence(done, 1)


async def test_say_does_not_wait_for_ever(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.stall = True
    async with serving(gateway) as target:
        done = await run_voice(
            tmp_path, "say", str(write_question(tmp_path)), "--fast", "--timeout", "0.3", "--target", target
        )
    assert "sent nothing for 0.3 s" in one_sentence(done, 1)


async def test_bad_files_are_refused_before_a_call_is_made(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a sound")
    for name, words in (("missing.wav", "does not exist"), ("text.wav", "not a sound file"), (".", "is a folder")):
        done = await run_voice(tmp_path, "say", name, "--target", "127.0.0.1:1")
        assert words in one_sentence(done, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "http://localhost:50051"], "without a scheme"),
        (["--target", "localhost:99999"], "the port must be from 1 to 65535"),
        (["--target", "a b"], "expected host:port"),
        (["--rate", "4000"], "8000 to 48000"),
        (["--ca", "missing.pem"], "--ca missing.pem: No such file"),
        (["--ca", "q.wav"], "holds no PEM certificate"),
        (["--ca", "/dev/stdin"], "--ca /dev/stdin is no regular file: it is read again for each connection."),
        (["--timeout", "0"], "more than 0 seconds"),
        (["--resume-for", "-1"], "--resume-for -1: 0 or more seconds are needed."),
        (["--address", "a b"], "expected host:port"),
        (["--cert", "q.wav"], "--cert and --key go together"),
        (["--cert", "q.wav", "--key", "q.wav"], "--cert q.wav holds no PEM certificate."),
        (["--api-key", "k\n"], "--api-key (or $VOICE_API_KEY): printable ASCII"),
    ],
)
async def test_bad_options_get_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    write_question(tmp_path, "q.wav")
    assert words in one_sentence(await run_voice(tmp_path, "say", "q.wav", *arguments), 2)


async def test_no_gateway_is_status_3_with_the_tunnel_named(tmp_path: Path) -> None:
    done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--target", "localhost:1")
    assert "Nothing listens at localhost:1. Start the gateway, or open the tunnel: ssh -L" in one_sentence(done, 3)
    done = await run_voice(tmp_path, "check", "--target", "no-such-host.invalid")
    assert "no-such-host.invalid:50051 cannot be reached" in one_sentence(done, 3)


async def test_a_wrong_port_is_told(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        done = await run_voice(tmp_path, "check", "--target", f"127.0.0.1:{port}")
    assert "does not answer as a gateway: check the port; behind an SSH tunnel" in one_sentence(done, 3)


async def test_tls_on_both_sides_works_and_on_one_side_is_told(tmp_path: Path) -> None:
    question = str(write_question(tmp_path))
    credentials = grpc.ssl_server_credentials(
        [((CERTS / "localhost.key").read_bytes(), (CERTS / "localhost.pem").read_bytes())]
    )
    async with serving(FakeGateway(), credentials=credentials) as target:
        ca = ["--ca", str(CERTS / "localhost.pem")]
        good = await run_voice(tmp_path, "say", question, "--fast", "--target", target, *ca)
        plain = await run_voice(tmp_path, "say", question, "--fast", "--target", target)
        unknown = await run_voice(tmp_path, "say", question, "--fast", "--target", target, "--tls")
    assert (good.status, good.err) == (0, "")
    assert "speaks TLS: add --tls" in one_sentence(plain, 3)
    assert "is not trusted: give its authority with --ca" in one_sentence(unknown, 3)
    async with serving(FakeGateway()) as target:
        done = await run_voice(tmp_path, "say", question, "--fast", "--target", target, "--tls")
    assert "does not speak TLS: leave out --tls" in one_sentence(done, 3)


async def test_mutual_tls_and_the_name_that_is_checked(tmp_path: Path) -> None:
    question = str(write_question(tmp_path))
    key, certificate = (CERTS / "localhost.key").read_bytes(), (CERTS / "localhost.pem").read_bytes()
    wants_mine = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
    pem = str(CERTS / "localhost.pem")
    own = ["--cert", pem, "--key", str(CERTS / "localhost.key")]
    async with serving(FakeGateway(), credentials=wants_mine) as target:
        say = ["say", question, "--fast", "--target", target, "--ca", pem]
        good = await run_voice(tmp_path, *say, *own, "--server-name", "localhost")
        nameless = await run_voice(tmp_path, *say, *own, "--server-name", "elsewhere.example")
        stranger = await run_voice(tmp_path, *say)
    assert (good.status, good.err) == (0, "")
    assert "or give that with --server-name" in one_sentence(nameless, 3)
    assert stranger.status == 3, "without a certificate nobody comes in"


async def test_options_reach_the_gateway(tmp_path: Path) -> None:
    gateway = FakeGateway()
    options = ["--language", "de-DE", "--voice", "Anna", "--session", "me", "--api-key", "k", "--rate", "8000"]
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--fast", "--target", target, *options)
    assert done.status == 0
    config = gateway.heard.configs[0]
    assert (config.language_code, config.session_id, config.sample_rate) == ("de-DE", "me", 8000)
    assert config.overrides.tts_voice == "Anna"
    assert ("x-api-key", "k") in gateway.heard.metadata


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--target", "gateway.invalid", "--api-key", "k"), True),
        (("--target", "gateway.invalid", "--token", "a.b.c"), True),
        (("--target", "localhost:1", "--address", "gateway.invalid", "--api-key-file", "key"), True),
        (("--target", "gateway.invalid", "--api-key", "k", "--tls"), False),
        (("--target", "localhost:1", "--api-key", "k"), False),
        (("--target", "gateway.invalid"), False),
    ],
)
async def test_a_key_that_can_be_read_on_the_way_is_told(tmp_path: Path, options: tuple[str, ...], told: bool) -> None:
    (tmp_path / "key").write_text("k")
    done = await run_voice(tmp_path, "check", *options)
    warning = (
        "voice: your key or token goes to gateway.invalid:50051 unencrypted, and can be read on the way: add --tls"
    )
    assert (warning in done.err) == told
    assert done.status == 3, "it is tried all the same"


async def test_ctrl_c_ends_quietly(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.stall = True
    async with serving(gateway) as target:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_clients", "say", str(write_question(tmp_path)), "--target", target),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(30):
                await process.stdout.readline()
                await gateway.called.wait()
                process.send_signal(signal.SIGINT)
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert (process.returncode, err) == (130, b"")
        async with asyncio.timeout(5):
            await gateway.hung_up.wait()


async def test_check_tells_how_the_backends_are(tmp_path: Path) -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "check", "--target", target)
        as_json = await run_voice(tmp_path, "check", "--json", "--target", target)
        gateway.script.backends_ok = False
        bad = await run_voice(tmp_path, "check", "--target", target)
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "gateway",
        "health",
        "backend",
        "asr",
        "llm",
        "tts",
        "all",
    ]
    assert json.loads(as_json.out)["ok"] is True
    assert json.loads(as_json.out)["backends"][2]["configured"] == "English-US.Female-1"
    assert bad.status == 1
    assert "does not know the voice" in bad.out
    assert bad.out.splitlines()[-2:] == ["tts offers: English-US.Male-1", "not ready for calls"]


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08"


async def test_what_a_gateway_says_is_no_command_to_the_terminal(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.answer = f"It is{ESCAPES} noon."
    gateway.script.transcript = f"what{ESCAPES} time"
    gateway.script.backend_model = f"[/red] a[bold]{ESCAPES}"
    async with serving(gateway) as target:
        said = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--target", target)
        checked = await run_voice(tmp_path, "check", "--target", target)
        gateway.script.refuse = grpc.StatusCode.INVALID_ARGUMENT
        gateway.script.refuse_text = f"no{ESCAPES}"
        refused = await run_voice(tmp_path, "say", str(write_question(tmp_path)), "--target", target)
    assert (said.status, checked.status, refused.status) == (0, 0, 1)
    for shown in (said.out, checked.out, refused.err):
        assert not set(shown) & set("\x1b\x07\x08\x9b")
    assert "assistant: It is" in said.out
    assert "[/red] a[bold]" in checked.out


async def test_check_tells_a_gateway_that_does_not_serve(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.serving = False
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "check", "--target", target)
    assert done.status == 1
    assert "health    NOT_SERVING" in done.out


async def test_check_looks_at_every_address(tmp_path: Path) -> None:
    async with serving(FakeGateway()) as one, serving(FakeGateway()) as other:
        both = await run_voice(tmp_path, "check", "--target", one, "--address", other)
        mixed = await run_voice(tmp_path, "check", "--target", one, "--address", "127.0.0.1:1", "--address", other)
        as_json = await run_voice(tmp_path, "check", "--json", "--target", one, "--address", "127.0.0.1:1")
    assert both.status == 0
    assert one in both.out
    assert other in both.out
    assert both.out.count("all is well") == 2
    assert mixed.status == 3
    assert "Nothing listens at 127.0.0.1:1" in mixed.out.replace("\n", " ")
    assert mixed.out.count("all is well") == 2, "one that is gone does not hide the others"
    assert as_json.status == 3
    assert [json.loads(line)["ok"] for line in as_json.out.splitlines()] == [True, False]


async def test_check_of_an_older_gateway_and_of_none(tmp_path: Path) -> None:
    class Older(FakeGateway):
        async def CheckBackends(  # noqa: N802 - the contract's name
            self, request: object, context: grpc.aio.ServicerContext[pb.CheckBackendsRequest, pb.CheckBackendsResponse]
        ) -> pb.CheckBackendsResponse:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")

    async with serving(Older()) as target:
        done = await run_voice(tmp_path, "check", "--target", target)
    assert done.status == 1
    assert "backends  the gateway cannot tell (older version)" in done.out
    nothing = await run_voice(tmp_path, "check", "--json", "--target", "127.0.0.1:1")
    assert nothing.status == 3
    assert json.loads(nothing.out)["ok"] is False


async def test_typing_needs_no_sound_system(tmp_path: Path) -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_clients", "talk", "--text", "--no-speaker", "--target", target),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate(b"hello\n\nwie geht's\n")
    assert (process.returncode, err) == (0, b"")
    assert gateway.heard.texts == ["hello", "wie geht's"]
    assert out.decode().count("assistant: You said hello. Nice.") == 2


async def test_no_portaudio_is_told_with_what_to_install(tmp_path: Path) -> None:
    stand_in = tmp_path / "path"
    stand_in.mkdir()
    (stand_in / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    for command in (["talk"], ["devices"]):
        done = await run_voice(tmp_path, *command, PYTHONPATH=str(stand_in))
        assert "apt-get install libportaudio2" in one_sentence(done, 2)


async def test_on_a_terminal_the_view_is_live_and_the_cursor_comes_back(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    async with serving(FakeGateway()) as target:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_clients", "say", str(write_question(tmp_path)), "--target", target),
            cwd=tmp_path,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "90", "LINES": "30", "PYTHONUTF8": "1"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        try:
            screen = await asyncio.wait_for(asyncio.to_thread(_read_all, master), 40)
            assert await process.wait() == 0
        finally:
            os.close(master)
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert "hello ..." in screen  # interim, live
    assert "[listening]" in screen
    assert "tts first audio" in screen
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l")
    assert "is in answer.wav" in screen.replace("\r\n", "")


def _read_all(master: int) -> str:
    data = b""
    while True:
        try:
            more = os.read(master, 65_536)
        except OSError:  # Linux: the other side is closed
            return data.decode()
        if not more:
            return data.decode()
        data += more


async def test_silence_is_sent_after_the_file_until_the_turn_ends(tmp_path: Path) -> None:
    gateway = FakeGateway()
    path = tmp_path / "abrupt.wav"
    write_wav(path, tone(0.3), 16_000)  # ends in the middle of speech
    async with serving(gateway) as target:
        done = await run_voice(tmp_path, "say", str(path), "--target", target)
    assert done.status == 0
    assert gateway.heard.audio_bytes >= len(tone(0.3)) + len(silence(0.2))
