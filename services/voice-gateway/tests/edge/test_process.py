"""The gateway as a process: start, refusals, signals, a whole call against fakes, edits while it runs."""

import asyncio
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from gateway_edge import WAIT_S, all_of, config, refused
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from processes import BIN, Service, gateway_for, service

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

pytestmark = [pytest.mark.edge]

NOWHERE = "127.0.0.1:9"
"""The discard port: nothing listens there."""

START_S = 50.0
"""For a process to start and to end, on a busy machine."""

CANCELLED = 'voice_gateway_requests_total{status="cancelled"}'

SESSION = config(capabilities=[pb.SESSION_INFO, pb.GO_AWAY], session_id="test")


REPLY = "It is noon. The sun is high."


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    script = tmp_path_factory.mktemp("fakes") / "script.yaml"
    script.write_text(yaml.safe_dump({"llm": {"replies": [REPLY]}}))
    with service(
        "fakes", "voice-fakes", "--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0", "--script", str(script)
    ) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(fakes: Service) -> Iterator[Service]:
    with in_front_of(fakes) as running:
        yield running


def in_front_of(fakes: Service, **environ: str) -> Any:
    base_url = f"http://127.0.0.1:{fakes.ready['llm_port']}/v1"
    return gateway_for(f"127.0.0.1:{fakes.ready['riva_port']}", base_url, **environ)


@asynccontextmanager
async def client_of(gateway: Service) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        yield pb_grpc.VoiceGatewayStub(channel)


def metrics(gateway: Service) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ready['metrics_port']}/metrics", timeout=WAIT_S) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


async def until(call: Any, wanted: "pb.EventType.ValueType") -> list[pb.ServerMessage]:
    """Messages up to the event."""
    messages: list[pb.ServerMessage] = []
    while not messages or messages[-1].event.type != wanted:
        message = await asyncio.wait_for(call.read(), WAIT_S)
        assert message is not grpc.aio.EOF, messages
        messages.append(message)
    return messages


async def typed(stub: Any, text: str, first: pb.ClientMessage = SESSION) -> tuple[Any, list[pb.ServerMessage]]:
    """A call with one typed turn, up to the turn's end."""
    call = stub.StreamAudio(timeout=WAIT_S)
    await call.write(first)
    await call.write(pb.ClientMessage(text_input=text))
    return call, await until(call, pb.END_OF_TURN)


# ---- start ----------------------------------------------------------------------------------------------------------


def test_it_tells_where_it_listens_and_listens_on_loopback(gateway: Service) -> None:
    assert gateway.ready["host"] == "127.0.0.1"
    assert gateway.ready["port"] > 0
    assert gateway.ready["service"] == "voice-gateway"
    assert metrics(gateway)["voice_gateway_active_streams"] >= 0


def refusal(*arguments: str, **environ: str) -> tuple[int, list[str]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "ASR_", "TTS_"))}
    result = subprocess.run(
        [str(BIN / "voice-gateway"), *arguments], env={**clean, **environ}, capture_output=True, text=True, check=False,
        timeout=START_S,
    )  # fmt: skip
    assert result.stdout == ""
    return result.returncode, result.stderr.splitlines()


def test_wrong_settings_are_refused_with_a_sentence_each() -> None:
    assert refusal(LLM_TEMPERATURE="hot", MAX_CALLS="0", NVIDIA_API_KEY="nvapi-secret") == (
        2,
        [
            "LLM_TEMPERATURE is 'hot' (from the environment); allowed is a number from 0 to 2.",
            "MAX_CALLS is '0' (from the environment); allowed is a whole number from 1 to 10000.",
        ],
    )


def test_settings_can_be_checked_without_a_start(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("LLM_TEMPERATURE: 0.7\n")
    assert refusal("--check", "--config", str(file)) == (0, [])
    file.write_text("LLM_TEMPERATUR: 0.7\n")
    assert refusal("--check", "--config", str(file)) == (
        2,
        [f"LLM_TEMPERATUR in {file} is not a known key; did you mean LLM_TEMPERATURE?"],
    )


def test_an_address_that_is_taken_is_told(gateway: Service) -> None:
    taken = gateway.address
    # gRPC says something of its own before.
    code, (*_, sentence) = refusal(
        "--listen-address", taken, METRICS_LISTEN_ADDRESS="", RIVA_URI=NOWHERE, LOG_LEVEL="error"
    )
    assert (code, sentence) == (2, f"Cannot start: the address {taken} is in use or not of this machine.")


# ---- calls ----------------------------------------------------------------------------------------------------------


async def test_a_whole_call(gateway: Service) -> None:
    async with client_of(gateway) as stub:
        call, messages = await typed(stub, "What time is it?")
        kinds = [message.WhichOneof("content") for message in messages]
        assert kinds[0] == "session"
        assert [m.event.type for m in messages if m.HasField("event")] == [
            pb.LISTENING, pb.PROCESSING, pb.SPEAKING, pb.END_OF_TURN,
        ]  # fmt: skip
        assert "".join(message.llm_response_chunk for message in messages) == REPLY
        answer = [message for message in messages if message.audio_chunk]
        assert sum(len(message.audio_chunk) for message in answer) >= 3_200, "at least 100 ms of speech"
        assert [m.first_sample for m in answer] == [
            sum(len(before.audio_chunk) for before in answer[:index]) // 2 for index in range(len(answer))
        ]
        await call.done_writing()
        await all_of(call)
        assert await call.code() is grpc.StatusCode.OK
    figures = metrics(gateway)
    assert figures["voice_gateway_e2e_latency_seconds_count"] >= 1
    assert figures["voice_gateway_tts_characters_total"] > 0
    started = gateway.events("call_started")[0]
    assert started["session_id"] == "test"
    assert started["call_id"] == messages[0].session.call_id
    assert all("What time" not in line for line in gateway.lines), "words are personal"


async def test_every_backend_knows_what_is_configured(gateway: Service) -> None:
    async with client_of(gateway) as stub:
        answer = await stub.CheckBackends(pb.CheckBackendsRequest(), timeout=WAIT_S)
    assert {(status.kind, status.ok) for status in answer.backends} == {("asr", True), ("llm", True), ("tts", True)}


async def test_backends_that_are_not_there_are_told_without_their_address() -> None:
    with gateway_for(NOWHERE, f"http://{NOWHERE}/v1") as gateway:
        async with client_of(gateway) as stub:
            answer = await stub.CheckBackends(pb.CheckBackendsRequest(), timeout=WAIT_S)
    assert [status.ok for status in answer.backends] == [False, False, False]
    for status in answer.backends:
        assert status.detail.endswith(".")
        assert NOWHERE not in status.detail


async def test_the_call_of_a_caller_who_is_killed_ends(gateway: Service) -> None:
    before = metrics(gateway).get(CANCELLED, 0)
    async with client_of(gateway) as stub:
        call = stub.StreamAudio(timeout=WAIT_S)
        await call.write(SESSION)
        await until(call, pb.LISTENING)
    async with asyncio.timeout(WAIT_S):
        while metrics(gateway).get(CANCELLED, 0) == before:
            await asyncio.to_thread(gateway.process.poll)
    assert metrics(gateway)["voice_gateway_active_streams"] == 0


async def test_with_every_backend_gone_a_caller_still_hears_an_apology(fakes: Service, tmp_path: Path) -> None:
    """The process before had a voice; this one has nothing, and speaks from the folder that was left."""
    with in_front_of(fakes, CANNED_SPEECH_DIR=str(tmp_path)):
        await asyncio.to_thread(until_files, tmp_path, 3)
    with gateway_for(NOWHERE, f"http://{NOWHERE}/v1", CANNED_SPEECH_DIR=str(tmp_path)) as gateway:
        async with client_of(gateway) as stub:
            call, messages = await typed(stub, "What time is it?")
            assert [m.event.type for m in messages if m.HasField("event")] == [
                pb.LISTENING, pb.PROCESSING, pb.ERROR, pb.SPEAKING, pb.END_OF_TURN,
            ]  # fmt: skip
            text = "".join(message.llm_response_chunk for message in messages)
            assert text.startswith("Sorry")
            pcm = b"".join(message.audio_chunk for message in messages)
            assert len(pcm) == 2 * 16 * 60 * len(text), "the sound that the fake makes of this text"
            call.cancel()
        assert metrics(gateway)['voice_gateway_apologies_total{backend="llm",form="speech"}'] == 1


def until_files(folder: Path, count: int) -> None:
    """Wait for clips to be written. Raises TimeoutError."""
    late_s = time.monotonic() + WAIT_S
    while len(list(folder.glob("[!.]*"))) < count:
        if time.monotonic() > late_s:
            raise TimeoutError
        time.sleep(0.02)


# ---- signals --------------------------------------------------------------------------------------------------------


async def test_on_sigterm_waiting_calls_are_told_and_the_process_ends(fakes: Service) -> None:
    with in_front_of(fakes) as gateway:
        async with client_of(gateway) as stub:
            call, _ = await typed(stub, "hello")
            await until(call, pb.LISTENING)
            gateway.process.send_signal(signal.SIGTERM)
            messages, error = await refused(call)
            status = rpc_status.from_call(error)
            info = ErrorInfo()
            assert status is not None
            assert status.details[0].Unpack(info)
            assert (error.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert any(message.HasField("go_away") for message in messages)
        assert await asyncio.to_thread(gateway.process.wait, WAIT_S) == 0


async def test_on_sigterm_an_answer_in_progress_is_finished(fakes: Service) -> None:
    with in_front_of(fakes) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            stub: Any = pb_grpc.VoiceGatewayStub(channel)
            call = stub.StreamAudio(timeout=WAIT_S)
            await call.write(SESSION)
            await call.write(pb.ClientMessage(text_input="Tell me something."))
            await until(call, pb.SPEAKING)
            gateway.process.send_signal(signal.SIGTERM)
            messages = await until(call, pb.END_OF_TURN)
            assert sum(len(message.audio_chunk) for message in messages) > 0
            _, error = await refused(call)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert await asyncio.to_thread(gateway.process.wait, WAIT_S) == 0


async def test_the_second_signal_ends_the_process_at_once() -> None:
    """A language model that takes the request and never answers keeps the call going."""
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with gateway_for(NOWHERE, f"http://127.0.0.1:{port}/v1") as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            stub: Any = pb_grpc.VoiceGatewayStub(channel)
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest(service="readiness"))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            call = stub.StreamAudio(timeout=WAIT_S)
            await call.write(SESSION)
            await call.write(pb.ClientMessage(text_input="hello"))
            await asyncio.wait_for(asked.wait(), WAIT_S)
            gateway.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert gateway.process.poll() is None
            gateway.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.process.wait, WAIT_S) == 128 + signal.SIGTERM
    server.close()


# ---- edits ----------------------------------------------------------------------------------------------------------


async def test_an_edit_reaches_running_calls_and_a_bad_one_does_not(fakes: Service, tmp_path: Path) -> None:
    def edit(**keys: str) -> None:
        revision = tmp_path / f"..{len(list(tmp_path.iterdir()))}"
        revision.mkdir()
        for key, value in keys.items():
            (revision / key).write_text(value)
            link = tmp_path / key
            if not link.is_symlink():
                link.symlink_to(f"..data/{key}")
        (tmp_path / "..data_tmp").symlink_to(revision.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    edit(LLM_TEMPERATURE="0.7")
    with in_front_of(fakes, GATEWAY_CONFIG=str(tmp_path)) as gateway:
        async with client_of(gateway) as stub:
            call, messages = await typed(stub, "one")
            first = messages[0].session.config_revision
            assert first == gateway.ready["config_revision"]
            edit(LLM_TEMPERATURE="0.2")
            async with asyncio.timeout(WAIT_S):
                while not gateway.events("call_retuned"):
                    await call.write(pb.ClientMessage(text_input="again"))
                    await until(call, pb.END_OF_TURN)
            newest = gateway.events("call_retuned")[0]["revision"]
            assert newest != first
            assert gateway.events("turn_ended")[0]["config_revision"] == first
            edit(LLM_TEMPERATURE="hot")
            async with asyncio.timeout(WAIT_S):
                while not gateway.events("config_refused"):
                    await call.write(pb.ClientMessage(text_input="again"))
                    await until(call, pb.END_OF_TURN)
            assert gateway.events("turn_ended")[-1]["config_revision"] == newest
            problems = gateway.events("config_refused")[0]["problems"]
            assert problems == [f"LLM_TEMPERATURE is 'hot' (from {tmp_path}); allowed is a number from 0 to 2."]
            call.cancel()
        figures = metrics(gateway)
        assert figures['voice_gateway_config_reloads_total{result="applied"}'] == 1
        assert figures['voice_gateway_config_reloads_total{result="refused"}'] == 1
