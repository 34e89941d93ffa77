"""Two gateways as processes with one file of keys: the first is killed, or told to go, in the middle of an answer."""

import asyncio
import base64
import json
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from gateway_edge import WAIT_S, all_of, config, refused
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from processes import Service, gateway_for, service

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

pytestmark = [pytest.mark.edge]

PHRASES = (
    "Once upon a time there was a harbour.",
    "It was small, and it was very old.",
    "Ships came and went. The end.",
)
STORY = " ".join(PHRASES)
MS_PER_CHARACTER = 30
RATE_HZ = 16_000
CAPABILITIES = [pb.SESSION_INFO, pb.PLAYBACK_FLUSHES, pb.GO_AWAY, pb.CHECKPOINTS]


def samples_of(text: str) -> int:
    """Length of its sound, as the fake makes it."""
    return len(text) * MS_PER_CHARACTER * RATE_HZ // 1000


@dataclass
class Fakes:
    """Backends, and what the language model was asked."""

    running: Service
    log: Path

    def asked(self, last: str) -> list[tuple[str, str]]:
        """The messages, without the system prompt, of the newest request that ends with these words of the caller."""
        lines = self.log.read_text().splitlines()
        entries = [entry for line in lines if "conversation" in (entry := json.loads(line))]
        *_, found = [entry["conversation"] for entry in entries if entry["last_message"] == last]
        return [(role, text) for role, text in found if role != "system"]


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fakes]:
    folder = tmp_path_factory.mktemp("fakes")
    script, log = folder / "script.yaml", folder / "log.jsonl"
    parts = {
        "llm": {"replies": [STORY], "log_messages": True, "token_interval_ms": 1, "log_tokens": False},
        "tts": {"ms_per_character": MS_PER_CHARACTER},
    }
    script.write_text(yaml.safe_dump(parts))
    addresses = ("--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0")
    with service("fakes", "voice-fakes", *addresses, "--script", str(script), "--log", str(log)) as running:
        yield Fakes(running, log)


@pytest.fixture
def gateways(fakes: Fakes, tmp_path: Path) -> Iterator[list[Service]]:
    """Two, with one file of keys."""
    keys = tmp_path / "keys"
    keys.write_text(f"k1:{base64.b64encode(bytes(range(32))).decode()}\n")
    base_url = f"http://127.0.0.1:{fakes.running.ready['llm_port']}/v1"
    riva = f"127.0.0.1:{fakes.running.ready['riva_port']}"
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                gateway_for(riva, base_url, RESUME_KEYS_FILE=str(keys), DRAIN_RESUMABLE_SECONDS=seconds)
            )
            for seconds in ("0.2", "10")
        ]


@dataclass
class Client:
    """What one stream gave."""

    call: Any
    messages: list[pb.ServerMessage] = field(default_factory=list)
    token: bytes = b""
    generation: int = 0
    samples: int = 0
    """Of that generation."""

    async def next(self) -> pb.ServerMessage:
        """One more message. Raises the stream's error."""
        read = await asyncio.wait_for(self.call.read(), WAIT_S)
        assert read is not grpc.aio.EOF, "the stream ended"
        message: pb.ServerMessage = read
        self.messages.append(message)
        self.token = message.checkpoint.token or message.go_away.checkpoint.token or self.token
        if message.audio_chunk:
            if message.generation != self.generation:
                self.generation, self.samples = message.generation, 0
            self.samples += len(message.audio_chunk) // 2
        return message

    async def until(self, wanted: "pb.EventType.ValueType", *, turn: int = 0) -> None:
        """Read up to an event."""
        while (message := await self.next()).event.type != wanted or (turn and message.turn != turn):
            pass

    async def until_heard(self, samples: int) -> None:
        """Read so much of the answer."""
        while self.samples < samples:
            await self.next()

    def text(self, turn: int) -> str:
        """Of the turn's answer."""
        return "".join(message.llm_response_chunk for message in self.messages if message.turn == turn)

    def events(self) -> "list[pb.EventType.ValueType]":
        """Kinds, in order."""
        return [message.event.type for message in self.messages if message.HasField("event")]


@asynccontextmanager
async def connected(gateway: Service, resume: pb.Resume | None = None) -> AsyncIterator[Client]:
    """A stream to one gateway."""
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address))
        stub: Any = pb_grpc.VoiceGatewayStub(channel)
        call = stub.StreamAudio(timeout=WAIT_S)
        await call.write(config(capabilities=CAPABILITIES, sample_rate=RATE_HZ, resume=resume))
        yield Client(call)


def brought_by(client: Client, cause: "pb.ResumeCause.ValueType") -> pb.Resume:
    """All that came was played at once, by a client without a microphone."""
    played = pb.Played(generation=client.generation, samples=client.samples)
    return pb.Resume(token=client.token, played=played, cause=cause, gap_ms=40)


async def logged(gateway: Service, event: str) -> dict[str, Any]:
    """The first log line of that kind, which comes in a moment."""
    async with asyncio.timeout(WAIT_S):
        while not (found := gateway.events(event)):  # noqa: ASYNC110 - a line of another process
            await asyncio.sleep(0.02)
    return found[0]


async def assert_it_goes_on(client: Client, before: Client, fakes: Fakes) -> None:
    """From the second phrase, which was being heard; and the conversation is as if nothing had been."""
    await client.until(pb.END_OF_TURN)
    first = client.messages[0].session
    assert first.resumed
    assert first.call_id == before.messages[0].session.call_id
    assert client.events() == [pb.PROCESSING, pb.SPEAKING, pb.END_OF_TURN]
    assert {message.turn for message in client.messages if message.HasField("event")} == {1}
    assert client.generation > before.generation
    assert client.samples == samples_of(PHRASES[1]) + samples_of("Ships came and went.") + samples_of("The end.")
    assert before.text(1) == STORY
    assert client.text(1) == "", "its text was there already"
    await client.call.write(pb.ClientMessage(text_input="And then?"))
    await client.until(pb.END_OF_TURN, turn=2)
    assert fakes.asked("And then?") == [("user", "Tell me a story."), ("assistant", STORY), ("user", "And then?")]
    await client.call.done_writing()
    await all_of(client.call)
    assert await client.call.code() is grpc.StatusCode.OK


async def test_a_killed_gateways_call_goes_on_in_another_one(gateways: list[Service], fakes: Fakes) -> None:
    async with connected(gateways[0]) as before:
        await before.call.write(pb.ClientMessage(text_input="Tell me a story."))
        await before.until_heard(samples_of(PHRASES[0]) + 3_200)
        gateways[0].process.send_signal(signal.SIGKILL)
        with pytest.raises(grpc.aio.AioRpcError):
            await before.until_heard(10**9)
        # What was on its way was heard, too, and is less than the second phrase.
        assert before.samples < samples_of(PHRASES[0]) + samples_of(PHRASES[1])
    async with connected(gateways[1], brought_by(before, pb.RESUME_CAUSE_RESET)) as after:
        await assert_it_goes_on(after, before, fakes)
    told = gateways[1].events("call_resumed")[0]
    assert (told["call_id"], told["cause"]) == (before.messages[0].session.call_id, "reset")
    assert told["in_answer"]
    ended = await logged(gateways[1], "call_ended")
    assert (ended["call_id"], ended["connection"]) == (told["call_id"], told["connection"])
    started = gateways[1].events("call_started")[0]
    assert (started["call_id"], started["resuming"]) == (told["connection"], True)


async def test_a_gateway_that_is_told_to_go_sends_its_calls_to_another_one(
    gateways: list[Service], fakes: Fakes
) -> None:
    async with connected(gateways[0]) as before:
        await before.call.write(pb.ClientMessage(text_input="Tell me a story."))
        await before.until_heard(samples_of(PHRASES[0]) + 800)
        gateways[0].process.send_signal(signal.SIGTERM)
        while not (message := await before.next()).go_away.checkpoint.token:
            pass
        assert message.go_away.deadline_ms == 1_000
        async with connected(gateways[1], brought_by(before, pb.RESUME_CAUSE_GO_AWAY)) as after:
            await after.next()
            assert await asyncio.wait_for(before.call.read(), WAIT_S) is grpc.aio.EOF
            assert await before.call.code() is grpc.StatusCode.OK
            await assert_it_goes_on(after, before, fakes)
    assert await asyncio.to_thread(gateways[0].process.wait, WAIT_S) == 0


async def test_a_full_gateway_goes_on_with_its_call_though_its_old_connection_is_not_given_up(
    fakes: Fakes,
) -> None:
    base_url = f"http://127.0.0.1:{fakes.running.ready['llm_port']}/v1"
    with gateway_for(f"127.0.0.1:{fakes.running.ready['riva_port']}", base_url, MAX_CALLS="1") as gateway:
        async with connected(gateway) as before:
            await before.call.write(pb.ClientMessage(text_input="Tell me a story."))
            await before.until_heard(samples_of(PHRASES[0]) + 800)
            stranger = pb.Resume(token=before.token[:-1] + b"?", cause=pb.RESUME_CAUSE_SILENCE)
            for resume in (None, stranger):
                async with connected(gateway, resume) as other:
                    messages, error = await refused(other.call)
                    assert (error.code(), messages) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])
            while (message := await before.next()).generation != before.generation or not message.audio_chunk:
                pass  # it has not been disturbed
            async with connected(gateway, brought_by(before, pb.RESUME_CAUSE_SILENCE)) as after:
                await after.next()
                assert await metric(gateway, "active_streams") == 1
                assert await all_of(before.call) is not None
                assert await before.call.code() is grpc.StatusCode.OK
                await after.until(pb.END_OF_TURN)
                assert after.messages[0].session.call_id == before.messages[0].session.call_id
                await after.call.done_writing()
                await all_of(after.call)
        assert await metric(gateway, 'calls_refused_total{reason="at_capacity"}') == 2
        assert await metric(gateway, "active_streams") == 0
    assert [entry["status"] for entry in gateway.events("call_ended")] == ["ok", "ok"]


async def metric(gateway: Service, name: str) -> float:
    """One figure of the gateway's."""

    def read() -> str:
        url = f"http://127.0.0.1:{gateway.ready['metrics_port']}/metrics"
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            body: bytes = answer.read()
        return body.decode()

    lines = (await asyncio.to_thread(read)).splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"voice_gateway_{name} ")))


async def test_a_token_of_another_installation_is_refused_with_a_sentence(
    gateways: list[Service], fakes: Fakes
) -> None:
    resume = pb.Resume(token=b"VWC\x01\x02k1" + bytes(80), cause=pb.RESUME_CAUSE_SILENCE)
    async with connected(gateways[1], resume) as client:
        messages, error = await refused(client.call)
        status, info = rpc_status.from_call(error), ErrorInfo()
        assert status is not None
        assert status.details[0].Unpack(info)
        assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_REFUSED")
        assert (info.metadata["why"], info.metadata["retryable"]) == ("unreadable", "false")
        sentence = "The checkpoint cannot be read by this gateway; start a new call without it."
        assert error.details() == sentence
        assert [message.event.message for message in messages] == [sentence]
