"""What a person asks for during a call: sent where the gateway obeys it, told where it does not."""

import asyncio

import pytest
from client_fake_gateway import FakeGateway, serving

from voice_clients.caller import CallConfig, connect
from voice_clients.controls import Command, Controls, parse_command
from voice_clients.conversation import Conversation
from voice_clients.events import Pong, Session
from voice_contracts import voice_workflow_pb2 as pb


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("hello", None),
        ("//etc is a folder", None),
        ("/voice English-US.Male-1", Command("voice", "English-US.Male-1")),
        ("/DTMF  12 3#", Command("dtmf", "12 3#")),
        ("/", Command("", "")),
    ],
)
def test_lines_with_a_slash_are_commands(line: str, command: Command | None) -> None:
    assert parse_command(line) == command


async def asked(gateway: FakeGateway, lines: list[str]) -> list[str]:
    """Run commands in a call of their own; gives what the person was told."""
    notes: list[str] = []
    conversation = Conversation()
    async with asyncio.timeout(10), serving(gateway) as target, connect(target, CallConfig()) as call:
        controls = Controls(call, conversation, notes.append)
        async for event in call:
            conversation.apply(event)
            if isinstance(event, Session):
                for line in lines:
                    command = parse_command(line)
                    assert command is not None
                    await controls.run(command)
                await call.ping(1)
            elif isinstance(event, Pong):  # the gateway has read all that came before
                break
    return notes


@pytest.mark.edge
async def test_commands_reach_a_gateway_that_offers_them() -> None:
    gateway = FakeGateway()
    gateway.script.offers_all = True
    notes = await asked(
        gateway, ["/hold", "/hold", "/resume", "/dtmf 12 3#a", "/voice Mia", "/language de-DE", "/dtmf 5x", "/voice"]
    )
    assert gateway.heard.controls == [pb.CONTROL_PAUSE, pb.CONTROL_RESUME, pb.CONTROL_PING]
    assert gateway.heard.digits == "123#A"
    assert gateway.heard.updates == [
        pb.SessionOverrides(tts_voice="Mia"),
        pb.SessionOverrides(language_code="de-DE"),
    ]
    assert notes == [
        "on hold: the answer waits, the microphone is not listened to",
        "The call is on hold already.",
        "off hold",
        "keypad: 123#A",
        "asked for tts_voice Mia",
        "asked for language_code de-DE",
        "/dtmf 5X: a keypad has 0 to 9, *, # and A to D.",
        "Say which: /voice NAME, /language TAG.",
    ]


@pytest.mark.edge
async def test_what_a_gateway_does_not_offer_is_not_sent() -> None:
    gateway = FakeGateway()
    notes = await asked(gateway, ["/hold", "/dtmf 1", "/voice Mia", "/sing"])
    assert (gateway.heard.controls, gateway.heard.digits, gateway.heard.updates) == ([pb.CONTROL_PING], "", [])
    assert notes == [
        "This gateway has no hold.",
        "This gateway takes no keypad digits.",
        "This gateway changes nothing during a call.",
        "/sing is no command; there are /hold, /resume, /dtmf DIGITS, /voice NAME, /language TAG.",
    ]
