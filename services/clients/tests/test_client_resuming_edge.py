"""Resuming over real gRPC, as a person sees it: `voice say`, `voice talk` and `voice load` while gateways die."""

import asyncio
import json
import sys
import wave
from pathlib import Path

import grpc
import numpy as np
import pytest
from client_fake_gateway import silence, tone
from client_harness import run_voice
from client_resuming_gateway import PHRASES, QUESTION, RATE, World, gateway, phrase_audio, wire_to
from gateway_certificates import Authority, Issued

from voice_clients.audio_file import write_wav

pytestmark = pytest.mark.edge

ALL = [["user", QUESTION], ["assistant", "all of it"]]


def question(folder: Path, seconds: float = 0.4) -> str:
    path = folder / "question.wav"
    write_wav(path, tone(seconds) + silence(0.1), RATE)
    return str(path)


def phrases_in(path: Path) -> list[int]:
    """Which phrases are wholly in a sound file, in their order."""
    with wave.open(str(path)) as file:
        audio = file.readframes(file.getnframes())
    found = [(audio.find(phrase_audio(number)), number) for number in range(PHRASES)]
    return [number for at, number in sorted(found) if at >= 0]


def check_positions(audio: list[tuple[int, bytes]], first: int) -> None:
    position = first
    for at, pcm in audio:
        assert at == position
        position += len(pcm) // 2


@pytest.mark.parametrize("how", ["cut", "freeze"])
async def test_say_goes_on_elsewhere_in_the_middle_of_an_answer(tmp_path: Path, how: str) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
        breaks = wire.cut if how == "cut" else wire.freeze
        world.on_chunk = lambda call, chunk: breaks() if (call, chunk) == (0, 15) else None
        addresses = ("--address", wire.address, "--address", b)
        done = await run_voice(tmp_path, "say", question(tmp_path), *addresses, "--timings", "off")
    assert (done.status, done.err) == (0, ""), done
    cause = "reset" if how == "cut" else "silence"
    lines = [line for line in done.out.splitlines() if "resum" in line]
    assert lines[0] == "connection lost, resuming ..."
    assert lines[1].startswith("resumed after ")
    assert lines[1].endswith(f" s ({cause})")
    assert done.out.count(f"you: {QUESTION}") == 1
    assert [call.gateway for call in world.calls] == ["a", "b"]
    assert world.history == ALL
    first, second = world.calls
    resume = second.config.resume
    assert resume.cause == (pb_cause := {"reset": 1, "silence": 2}[cause]), pb_cause
    check_positions(first.audio, 0)
    check_positions(second.audio, resume.first_sample)
    assert phrases_in(tmp_path / "answer.wav") == list(range(PHRASES)), "all of it was heard"


async def test_say_as_json_tells_how_it_was_resumed(tmp_path: Path) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
        world.on_chunk = lambda call, chunk: wire.cut() if (call, chunk) == (0, 25) else None
        done = await run_voice(tmp_path, "say", question(tmp_path), "--target", wire.address, "--address", b, "--json")
    document = json.loads(done.out)
    (resumed,) = document["resumed"]
    assert (document["ok"], resumed["cause"], resumed["attempts"], resumed["address"]) == (True, "RESET", 1, b)
    assert 0 < resumed["gap_ms"] <= resumed["silence_ms"]
    assert resumed["forgotten_ms"] == 0


async def test_speech_that_was_being_said_is_recognised_whole(tmp_path: Path) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
        world.on_samples = lambda call, end: wire.cut() if call == 0 and end >= RATE // 2 else None
        done = await run_voice(
            tmp_path, "say", question(tmp_path, seconds=1.0), "--target", wire.address, "--address", b
        )
    assert done.status == 0, done
    assert world.history == ALL
    resumed = world.calls[1]
    assert resumed.config.resume.first_sample == 0, "the state accounts for nothing after the onset"
    check_positions(resumed.audio, 0)
    heard = np.frombuffer(b"".join(pcm for _, pcm in resumed.audio), "<i2")
    assert heard[:RATE].tobytes() == tone(1.0)


async def test_a_file_sent_fast_and_half_closed_is_resumed_and_half_closed_again(tmp_path: Path) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
        world.on_chunk = lambda call, chunk: wire.cut() if (call, chunk) == (0, 12) else None
        done = await run_voice(tmp_path, "say", question(tmp_path), "--fast", "--target", wire.address, "--address", b)
    assert done.status == 0, done
    assert [call.half_closed for call in world.calls] == [True, True]
    assert world.history == ALL


async def test_a_hand_over_is_no_loss(tmp_path: Path) -> None:
    world = World()

    def hand_over(call: int, chunk: int) -> None:
        if (call, chunk) == (0, 12):
            world.calls[0].hand_over.set()

    world.on_chunk = hand_over
    async with gateway(world, "a") as a, gateway(world, "b") as b:
        done = await run_voice(tmp_path, "say", question(tmp_path), "--target", a, "--address", b)
    assert done.status == 0, done
    assert "the gateway hands the call over, resuming ..." in done.out
    assert "(go away)" in done.out
    assert [call.gateway for call in world.calls] == ["a", "b"]
    assert phrases_in(tmp_path / "answer.wav") == list(range(PHRASES))


async def test_a_full_gateway_is_passed_over_and_a_refused_checkpoint_ends_a_say(tmp_path: Path) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, gateway(world, "c") as c, wire_to(a) as wire:
        world.on_chunk = lambda call, chunk: wire.cut() if (call, chunk) == (0, 12) else None
        where = ("--target", wire.address, "--address", b, "--address", c)
        world.refuse["b"] = (grpc.StatusCode.RESOURCE_EXHAUSTED, "AT_CAPACITY")
        done = await run_voice(tmp_path, "say", question(tmp_path), *where)
        assert done.status == 0, done
        assert [call.gateway for call in world.calls] == ["a", "c"]
        world.calls.clear()
        wire.refuses = False
        world.refuse["b"] = (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_REFUSED")
        refused = await run_voice(tmp_path, "say", question(tmp_path), *where)
    assert refused.status == 1
    assert refused.err == "voice: The gateway refused the request: not now.\n"


async def test_resuming_can_be_switched_off(tmp_path: Path) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
        world.on_chunk = lambda call, chunk: wire.cut() if (call, chunk) == (0, 12) else None
        where = ("--target", wire.address, "--address", b, "--resume-for", "0")
        done = await run_voice(tmp_path, "say", question(tmp_path), *where)
    assert done.status == 1
    assert "broke off" in done.err
    assert len(world.calls) == 1


async def test_a_typed_talk_goes_on_and_a_refused_one_begins_anew(tmp_path: Path) -> None:
    for refused in (False, True):
        world = World()
        async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
            if refused:
                world.refuse["b"] = (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_REFUSED")

            def cut(call: int, chunk: int, wire=wire, world=world) -> None:  # type: ignore[no-untyped-def]
                if (call, chunk) == (0, 12):
                    wire.cut()
                    world.refuse.pop("a", None)

            world.on_chunk = cut
            where = ("--target", wire.address, "--address", b)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "voice_clients", "talk", "--text", "--no-speaker", *where, "--resume-for", "5"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            seen: list[str] = []
            try:
                process.stdin.write(b"tell me\n")
                async with asyncio.timeout(30):
                    while not seen or ("begins anew" if refused else "resumed after") not in seen[-1]:
                        line = await process.stdout.readline()
                        assert line, seen
                        seen.append(line.decode().strip())
                    world.refuse.clear()
                    out, err = await process.communicate(b"and then\n")
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert (process.returncode, err) == (0, b""), (seen, out, err)
        assert "connection lost, resuming ..." in seen
        if refused:
            assert "The gateway refused the request: not now. The conversation begins anew." in seen
            assert world.history == [["user", "and then"], ["assistant", "all of it"]]
        else:
            said = [text for who, text in world.history if who == "user"]
            assert said == ["tell me", "and then"]


async def test_load_counts_what_was_resumed(tmp_path: Path) -> None:
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:
        world.on_chunk = lambda call, chunk: wire.cut() if (call, chunk) == (0, 12) else None
        done = await run_voice(
            tmp_path,
            *("load", wire.address, "--address", b, "--users", "2", "--duration", "4", "--wav", question(tmp_path)),
            *("--think-time", "0.1", "--max-lag-ms", "1000", "--report", "out", "--quiet"),
            *("--fail-over", "unresumed_share=0", "--fail-over", "error_share=0"),
        )
    assert done.status == 0, done
    report = json.loads((tmp_path / "out/report.json").read_text())
    resumes = report["resumes"]
    assert (resumes["count"], resumes["calls_lost"]) == (1, 0)
    assert (resumes["turns"], resumes["turns_lost"], resumes["turns_duplicated"]) == (1, 0, 0)
    (cause,) = resumes["by_cause"]
    assert (cause["cause"], cause["gap_ms"]["count"], cause["silence_ms"]["count"]) == ("RESET", 1, 1)
    assert cause["dials"]["max"] >= 1
    assert {call.gateway for call in world.calls} == {"a", "b"}
    assert "resumes    1; 1 turns in them, 0 lost, 0 duplicated; 0 calls could not be resumed" in done.out
    assert "Resumed calls" in (tmp_path / "out/report.html").read_text()


async def test_keys_and_tokens_reach_the_gateway_and_the_environment_serves_too(tmp_path: Path) -> None:
    world = World()
    async with gateway(world) as target:
        where = ("say", question(tmp_path), "--fast", "--target", target)
        given = await run_voice(tmp_path, *where, "--api-key", "k1", "--token", "a.b.c", "--server-name", "inside")
        environ = await run_voice(tmp_path, *where, VOICE_API_KEY="k2")
    assert (given.status, environ.status) == (0, 0)
    first, second = world.metadata
    assert (first["x-api-key"], first["authorization"]) == ("k1", "Bearer a.b.c")
    assert (second["x-api-key"], "authorization" in second) == ("k2", False)
    assert "k1" not in given.out + given.err


async def test_a_key_and_a_token_in_files_are_read_for_each_connection(tmp_path: Path) -> None:
    key, token = tmp_path / "key", tmp_path / "token"
    key.write_text("k1\n")
    token.write_text("a.b.c\n")
    world = World()
    async with gateway(world, "a") as a, gateway(world, "b") as b, wire_to(a) as wire:

        def renew_and_cut(call: int, chunk: int) -> None:
            if (call, chunk) == (0, 15):
                key.write_text("k2")
                token.write_text("d.e.f")
                wire.cut()

        world.on_chunk = renew_and_cut
        addresses = ("--address", wire.address, "--address", b)
        files = ("--api-key-file", "key", "--token-file", "token")
        done = await run_voice(tmp_path, "say", question(tmp_path), *addresses, *files)
        environ = await run_voice(
            tmp_path, "say", question(tmp_path), "--fast", "--target", b, VOICE_TOKEN_FILE=str(token)
        )
    assert (done.status, done.err, environ.status) == (0, "", 0), done
    sent = [(item.get("x-api-key"), item.get("authorization")) for item in world.metadata]
    assert sent == [("k1", "Bearer a.b.c"), ("k2", "Bearer d.e.f"), (None, "Bearer d.e.f")]
    assert world.history == ALL


async def test_certificates_are_read_for_each_connection(tmp_path: Path) -> None:
    authorities = old, new = Authority("old"), Authority("new")
    ours, theirs = ([authority.issue() for authority in authorities] for _ in range(2))
    only_old, only_new = (
        grpc.ssl_server_credentials([(pair.key, pair.certificate)], authority.pem, require_client_auth=True)
        for pair, authority in zip(theirs, authorities, strict=True)
    )

    def issue(authority: Authority, mine: Issued) -> None:
        for name, pem in (("ca", authority.pem), ("cert", mine.certificate), ("key", mine.key)):
            (tmp_path / name).write_bytes(pem)

    world = World()
    issue(old, ours[0])
    async with gateway(world, "a", only_old) as a, gateway(world, "b", only_new) as b, wire_to(a) as wire:

        def renew_and_cut(call: int, chunk: int) -> None:
            if (call, chunk) == (0, 15):
                issue(new, ours[1])
                wire.cut()

        world.on_chunk = renew_and_cut
        addresses = ("--address", wire.address, "--address", b)
        done = await run_voice(
            tmp_path, "say", question(tmp_path), *addresses, "--ca", "ca", "--cert", "cert", "--key", "key"
        )
    assert (done.status, done.err) == (0, ""), done
    assert [call.gateway for call in world.calls] == ["a", "b"]
    assert world.history == ALL


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--token-file", "none"), "none cannot be read: No such file or directory."),
        (("--token-file", "."), ". is no regular file: it is read again for each connection."),
        (("--api-key-file", "empty"), "empty holds no key or token: one line of printable ASCII is needed."),
        (("--api-key-file", "two"), "two holds no key or token: one line of printable ASCII is needed."),
        (("--api-key-file", "long"), "long holds no key or token: one line of printable ASCII is needed."),
        (("--token-file", "bytes"), "bytes holds no key or token: it is not ASCII."),
        (
            ("--token-file", "two", "--token", "x"),
            "--token and --token-file (or $VOICE_TOKEN and $VOICE_TOKEN_FILE): give one of them.",
        ),
    ],
)
async def test_files_without_a_key_are_refused_before_anything_is_dialled(
    tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("secret one\nsecret two\n")
    (tmp_path / "long").write_text("x" * 8_193)
    (tmp_path / "bytes").write_bytes(b"\xc3\xa4")
    done = await run_voice(tmp_path, "say", question(tmp_path), "--target", "localhost:1", *options)
    assert (done.status, done.err) == (2, f"voice: {sentence}\n")
