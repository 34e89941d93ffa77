"""Plays a scripted conversation on virtual time, and holds what happened against what the script expects."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gateway_calls import Script, Step, milliseconds
from gateway_loudspeaker import Loudspeaker

from voice_gateway.application.messages import (
    AudioOut,
    ControlIn,
    DtmfIn,
    EventKind,
    EventOut,
    Hello,
    PlaybackOut,
    PlaybackVerb,
    SpeakIn,
    TextIn,
    Wish,
)
from voice_gateway.application.overrides import admit
from voice_gateway.domain.conversation import Message
from voice_gateway.domain.errors import GatewayError
from voice_gateway.testing.spares import FakeTurnModel
from voice_gateway.testing.world import Caller, FixedConfig, World


class Player:
    """Does what a script says, step by step."""

    def __init__(self, script: Script, world: World, caller: Caller) -> None:
        self.script = script
        self.world = world
        self.caller = caller
        self.loudspeaker = Loudspeaker(caller)
        self.spoke: list[tuple[float, float]] = []
        """When each thing was said, from and to, in ms."""
        self._waited: dict[str, int] = {}
        self._said = 1

    async def play(self) -> None:
        """All steps, in order, with the loudspeaker on."""
        listening = asyncio.create_task(self.loudspeaker.run(), name="loudspeaker")
        try:
            await self._do_all()
            await self.caller.half_close()
            await asyncio.wait((self.caller.running,))
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        self.loudspeaker.finish()

    async def _do_all(self) -> None:
        for step in self.script.steps:
            wait_ms = step.after_ms
            if step.at_ms is not None:
                wait_ms = max(0, step.at_ms - int(_now_ms()))
            await self.caller.silence(wait_ms, paced=self.script.paced)
            await self._do(step)

    async def _do(self, step: Step) -> None:
        caller = self.caller
        match step.action:
            case "say" | "noise":
                self._said += step.action == "say"
                value = self._said if step.action == "say" else 1
                start_ms = _now_ms()
                await caller.speak(step.lasting_ms, paced=self.script.paced, sample=value.to_bytes(2, "little"))
                if step.action == "say":
                    self.spoke.append((start_ms, _now_ms()))
            case "quiet":
                await caller.silence(step.lasting_ms, paced=self.script.paced)
            case "type":
                await caller.send(TextIn(step.value))
            case "press":
                await caller.send(ControlIn(Wish(step.value)))
            case "keys":
                for key in step.value:
                    await caller.send(DtmfIn(key))
                    await caller.silence(step.lasting_ms, paced=self.script.paced)
            case "update":
                await caller.send(step.value)
            case "announce" | "announce_firmly":
                await caller.send(SpeakIn(step.value, step.action == "announce_firmly"))
            case "wait_for":
                self._waited[step.value] = self._waited.get(step.value, 0) + 1
                await caller.listen_for(EventKind(step.value), count=self._waited[step.value])
            case "stop_reading":
                caller.transport.flowing.clear()
                await caller.silence(step.lasting_ms, paced=self.script.paced)
                caller.transport.flowing.set()
            case "retune":
                self._retune(step.value)
            case "config_again":
                await caller.send(Hello())
            case "close":
                await caller.half_close()
                await asyncio.wait((caller.running,))
            case _:
                raise AssertionError(step.action)

    def _retune(self, wishes: dict[str, str]) -> None:
        config = self.world.config.config
        llm = replace(config.llm, system_prompt=wishes.get("system_prompt", config.llm.system_prompt))
        tts = replace(config.tts, voice=wishes.get("voice", config.tts.voice))
        asr = replace(config.asr, language_code=wishes.get("language", config.asr.language_code))
        revision = f"{config.revision}+"
        self.world.config.config = replace(config, llm=llm, tts=tts, asr=asr, revision=revision)


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


def told(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    """A history as scripts write it."""
    names = {"system": "prompt", "user": "caller", "assistant": "assistant"}
    return [{names[message.role.value]: message.sent_text} for message in messages]


OBSERVED: dict[str, Callable[[Player], Any]] = {
    "transcripts": lambda player: player.caller.transport.finals(),
    "events": lambda player: player.caller.transport.events(),
    "errors": lambda player: [
        message.reason
        for message in (item.message for item in player.caller.transport.received)
        if isinstance(message, EventOut) and message.kind is EventKind.ERROR
    ],
    "heard": lambda player: player.loudspeaker.heard(),
    "playback": lambda player: [
        f"{message.verb.value} {message.gain_db:g} dB" if message.verb is PlaybackVerb.DUCK else message.verb.value
        for message in (item.message for item in player.caller.transport.received)
        if isinstance(message, PlaybackOut)
    ],
    "outcomes": lambda player: [report.outcome for report in player.world.telemetry.reports],
    "ended_by": lambda player: [report.endpoint_rule for report in player.world.telemetry.reports],
    "history": lambda player: told(player.caller.call.machine.state.history),
    "last_question": lambda player: told(tuple(player.caller.llm.requests[-1].messages)),
    "model_requests": lambda player: [entry.detail for entry in player.world.log.of("llm_closed")],
    "recogniser_languages": lambda player: [entry.detail for entry in player.world.log.of("asr_opened")],
    "recogniser_asked": lambda player: [
        "force_eou" if entry.what == "asr_force_eou" else entry.detail
        for entry in player.world.log.entries
        if entry.what in ("asr_force_eou", "asr_closed")
    ],
    "speculation": lambda player: {
        outcome: count
        for outcome in ("started", "adopted", "wasted")
        if (count := player.world.telemetry.counts[f"speculation_{outcome}"])
    },
    "resumed": lambda player: player.world.telemetry.counts["answer_resumed"],
}
"""What can be compared as it is; the rest is compared in `check`."""


def check(player: Player) -> None:
    """Hold what happened against what was expected."""
    transport = player.caller.transport
    for key, expected in player.script.expect.items():
        place = f"{player.script.name}: expect.{key}"
        match key:
            case "refused" | "ends_with":
                pass
            case "answers":
                assert {turn: transport.answer(turn) for turn in expected} == expected, place
            case "voice_requests":
                for wanted in expected:
                    requests = [request for request in player.caller.tts.requests if wanted["text"] in request.text]
                    assert requests, f"{place}: nothing like {wanted['text']!r} was spoken"
                    assert {name: getattr(requests[0], name) for name in wanted if name != "text"} == {
                        name: value for name, value in wanted.items() if name != "text"
                    }, place
            case "answered_within":
                limit_ms = milliseconds(expected, place)
                waits = [
                    audio_ms - max(ends)
                    for audio_ms in _first_audio_ms(player)
                    if (ends := [end_ms for _, end_ms in player.spoke if end_ms <= audio_ms])
                ]
                assert max(waits) <= limit_ms, f"{place}: {waits}"
            case "stopped_within":
                last_ms = transport.audio(1)[-1].at_ms
                interruption_ms = next(start for start, _ in player.spoke if start > transport.audio(1)[0].at_ms)
                assert last_ms - interruption_ms <= milliseconds(expected, place), place
            case _:
                assert OBSERVED[key](player) == expected, place


def _first_audio_ms(player: Player) -> list[float]:
    first: dict[int, float] = {}
    for item in player.caller.transport.audio():
        if isinstance(item.message, AudioOut):
            first.setdefault(item.message.turn, item.at_ms)
    return list(first.values())


async def conversation(script: Script) -> None:
    """One scripted call, from its first message to its end."""
    world = World(
        asr=script.asr, llm=script.llm, tts=script.tts, config=FixedConfig(script.config), spares=script.spares
    )
    if script.judgements:
        world.turn_model = FakeTurnModel(script.judgements)
    if (refusal := script.expect.get("refused")) is not None:
        with pytest.raises(GatewayError) as refused:
            admit(script.hello, script.config)
        assert str(refused.value) == refusal
        return
    reason = ""
    try:
        async with world.call(script.hello) as caller:
            player = Player(script, world, caller)
            await player.play()
    except GatewayError as error:
        reason = error.reason
    assert reason == script.expect.get("ends_with", "")
    check(player)
