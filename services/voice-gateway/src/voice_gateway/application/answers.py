"""A call's answers: one at a time is made and sent, as the machine says."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_never

from voice_gateway.application import outputs
from voice_gateway.application.config import CallConfig
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.messages import Capability
from voice_gateway.application.overrides import Admitted
from voice_gateway.application.ports import Backends
from voice_gateway.application.reply import Reply
from voice_gateway.application.services import CallServices
from voice_gateway.application.tracing import CallSpans
from voice_gateway.domain.actions import (
    AdoptReply,
    CancelReply,
    PauseReply,
    PlaybackVerb,
    ReleaseAudio,
    ResumeReply,
    SendPlayback,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.events import Event

AnswerAction = StartReply | SpeakVerbatim | AdoptReply | ReleaseAudio | PauseReply | ResumeReply | CancelReply

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a named task of the call."""


class Answers:
    """Performs what the machine decides about answers. Nothing here waits."""

    def __init__(
        self,
        admitted: Admitted,
        backends: Backends,
        downlink: Downlink,
        services: CallServices,
        *,
        spans: CallSpans,
        post: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._spans = spans
        self._output_rate_hz = admitted.output_rate_hz
        self._ducks_itself = Capability.PLAYBACK_CONTROL in admitted.capabilities
        self._backends = backends
        self._downlink = downlink
        self._services = services
        self._post = post
        self._reply: Reply | None = None
        self._task: asyncio.Task[None] | None = None

    def perform(self, action: AnswerAction, config: CallConfig, spawn: Spawn) -> None:
        """Do it. `config` is what a new answer is made with."""
        match action:
            case StartReply() | SpeakVerbatim():
                self._start(action, config, spawn)
            case AdoptReply():
                if self._reply is not None:
                    self._reply.adopt()
            case ReleaseAudio():
                self._downlink.release(action.generation)
            case PauseReply():
                self._downlink.pause(action.turn, action.generation)
            case ResumeReply():
                self._downlink.resume(action.turn, action.from_sample)
            case CancelReply():
                self._downlink.cut(action.turn)
                if self._task is not None:
                    self._task.cancel()
                self._reply = self._task = None
            case _:
                assert_never(action)

    def send_playback(self, action: SendPlayback) -> None:
        """Tell the client, or do in its place what it can't."""
        if action.verb is PlaybackVerb.DUCK and not self._ducks_itself:
            self._downlink.duck(action.gain_db)
        else:
            self._downlink.post(outputs.of(action))

    def _start(self, order: StartReply | SpeakVerbatim, config: CallConfig, spawn: Spawn) -> None:
        reply = Reply(
            order,
            spans=self._spans,
            config=config,
            output_rate_hz=self._output_rate_hz,
            backends=self._backends,
            tools=self._services.tools,
            canned=self._services.canned,
            downlink=self._downlink,
            telemetry=self._services.telemetry,
            post=self._post,
        )
        from_sample = order.goes_on.from_sample if order.goes_on is not None else 0
        self._downlink.begin(order.turn, order.generation, order.revision, from_sample)
        self._reply = reply
        self._task = spawn(reply.run(), f"reply-{order.turn}")
