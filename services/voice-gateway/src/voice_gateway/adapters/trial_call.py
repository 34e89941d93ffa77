"""`python -m voice_gateway.adapters.trial_call HOST:PORT`: is this gateway ready, and does it answer?

Asks for readiness and makes one call in text, as the first contract has it. It runs in the gateway's own image, where
`helm test` starts it. Exit code 0 where all went well, 1 where not, 2 for arguments that can't be used.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

SAMPLE_RATE_HZ = 16_000
BYTES_PER_SECOND = 2 * SAMPLE_RATE_HZ
SESSION = "trial-call"
EXIT_FAILED = 1
EXIT_BAD_ARGUMENTS = 2


class Failed(Exception):
    """The gateway does not do what it should. The text says what."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What to ask, and how to get there."""

    target: str
    text: str
    timeout_s: float
    ca_pem: bytes | None
    """None: without TLS."""
    tls_name: str
    """Name in the certificate. Empty: the target's."""
    credential: str
    """API key or token. Empty: none is sent."""
    health_only: bool

    def channel(self) -> grpc.aio.Channel:
        """One that is not yet connected."""
        options = [("grpc.enable_http_proxy", 0)]  # the gateway is in this cluster
        if self.ca_pem is None:
            return grpc.aio.insecure_channel(self.target, options=options)
        named = [("grpc.ssl_target_name_override", self.tls_name)] if self.tls_name else []
        return grpc.aio.secure_channel(
            self.target, grpc.ssl_channel_credentials(self.ca_pem), options=[*options, *named]
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with the call."""
        return (("authorization", f"Bearer {self.credential}"),) if self.credential else ()


async def run(trial: Trial) -> list[str]:
    """What happened, a line for each. Raises Failed."""
    async with trial.channel() as channel:
        try:
            lines = [await _ready(channel, trial)]
            if trial.health_only:
                return [*lines, "no call was made: there is nothing to show who calls"]
            return [*lines, *await _call(channel, trial)]
        except grpc.aio.AioRpcError as error:
            raise Failed(f"{trial.target}: {error.code().name}, {error.details()}") from error


async def _ready(channel: grpc.aio.Channel, trial: Trial) -> str:
    request = health_pb2.HealthCheckRequest(service="readiness")
    answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=trial.timeout_s, wait_for_ready=True)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if name != "SERVING":
        raise Failed(f"{trial.target} is {name}")
    return f"{trial.target} is ready"


async def _call(channel: grpc.aio.Channel, trial: Trial) -> list[str]:
    begun_s = time.monotonic()
    call = pb_grpc.VoiceGatewayStub(channel).StreamAudio(timeout=trial.timeout_s, metadata=trial.metadata)
    await call.write(pb.ClientMessage(config=pb.VoiceConfig(sample_rate=SAMPLE_RATE_HZ, session_id=SESSION)))
    await call.write(pb.ClientMessage(text_input=trial.text))
    # The gateway answers in full, and then ends the call.
    await call.done_writing()
    text, audio_bytes, first_audio_s, problems = "", 0, 0.0, []
    async for message in call:
        text += message.llm_response_chunk
        if message.audio_chunk and not audio_bytes:
            first_audio_s = time.monotonic() - begun_s
        audio_bytes += len(message.audio_chunk)
        if message.event.type == pb.ERROR:
            problems.append(message.event.message)
    if problems:
        raise Failed("the call had an error: " + " ".join(problems))
    if not text.strip() or not audio_bytes:
        raise Failed(f"the answer has {len(text.strip())} characters and {audio_bytes} bytes of audio")
    return [
        f"asked:    {trial.text}",
        f"answered: {text.strip()}",
        f"spoken:   {audio_bytes / BYTES_PER_SECOND:.1f} s of audio, the first after {first_audio_s:.2f} s",
    ]


def first_api_key(file: Path) -> str:
    """Of lines `principal:key`. Raises ValueError with a sentence."""
    for line in file.read_text(encoding="utf-8").splitlines():
        _, colon, key = line.strip().partition(":")
        if colon and not line.lstrip().startswith("#"):
            return key.strip()
    raise ValueError(f"{file} holds no line principal:key")


def read_arguments(arguments: Sequence[str]) -> Trial:
    """Raises ValueError or OSError for files that can't be used; exits where the arguments themselves can't."""
    parser = argparse.ArgumentParser(
        prog="python -m voice_gateway.adapters.trial_call",
        description="Ask a gateway whether it is ready, and make one call in text.",
    )
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("--text", default="What is two plus three?", help="what to say")
    parser.add_argument("--timeout-s", type=float, default=60.0, metavar="SECONDS", help="for each of both, default 60")
    parser.add_argument(
        "--tls-ca", type=Path, action="append", default=[], metavar="FILE",
        help="speak TLS, and trust this PEM file; given twice: the first that exists",
    )  # fmt: skip
    parser.add_argument("--tls-name", default="", metavar="NAME", help="name in the certificate, if not the host's")
    parser.add_argument("--api-keys-file", type=Path, metavar="FILE", help="call with the first key of this file")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="call with the token in this file")
    parser.add_argument("--health-only", action="store_true", help="make no call")
    given = parser.parse_args(arguments)
    ca_pem = None
    if given.tls_ca:
        ca_pem = next((file for file in given.tls_ca if file.is_file()), given.tls_ca[-1]).read_bytes()
    credential = ""
    if given.api_keys_file is not None:
        credential = first_api_key(given.api_keys_file)
    elif given.token_file is not None:
        credential = given.token_file.read_text(encoding="utf-8").strip()
    return Trial(
        given.target, given.text, given.timeout_s, ca_pem, given.tls_name, credential, given.health_only
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell on standard output, complain on standard error."""
    try:
        trial = read_arguments(sys.argv[1:] if arguments is None else arguments)
    except (OSError, ValueError) as error:
        print(f"{error}.", file=sys.stderr)  # noqa: T201 - for a person
        return EXIT_BAD_ARGUMENTS
    try:
        for line in asyncio.run(run(trial)):
            print(line)  # noqa: T201 - what it is for
    except Failed as failure:
        print(failure, file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
