"""How a call outlives its connection: the checkpoints that its client keeps, signs of life, and its end here.

A checkpoint tells which microphone audio it accounts for: all that lies before the speech that is not yet part of a
turn. A client that takes the call elsewhere sends the audio from there on again. So what a checkpoint accounts for and
the history in it must be of one moment: both are read when the message is written, and a sign of life, which tells only
the audio, is written only when no newer checkpoint waits.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from servicekit.logs import get_logger
from voice_gateway.application.messages import Capability, CheckpointOut, GoAwayOut
from voice_gateway.application.ports import CheckpointSeal, Telemetry
from voice_gateway.application.resumption import CallMoved, Resumption, wishes_of
from voice_gateway.domain.checkpoint import CallCheckpoint
from voice_gateway.domain.reply_state import ReplyState
from voice_gateway.domain.resuming import talk_of
from voice_gateway.domain.utterances import MAX_UTTERANCES

if TYPE_CHECKING:
    from voice_gateway.application.call import Call

LATE_ONSET_MS = 500
"""Speech may turn out to have begun this long ago, beside the pre-roll: its onset is told after 100 ms of it, and later
where it is broken."""

RENEWED_AT = 1 / 3
"""Of a token's validity: a caller who says nothing for long still has one that is good."""

LEAVING_S = 1.0
"""Longest wait for a client that was sent away to leave."""

TAKEOVER_S = 2.0
"""Longest wait for a call to end here that goes on in another stream of this process."""

log = get_logger(__name__)


class Continuity:
    """One call's."""

    def __init__(
        self,
        call: "Call",
        seal: CheckpointSeal | None,
        telemetry: Telemetry,
        *,
        principal: str = "",
        resumption: Resumption | None = None,
    ) -> None:
        self.resumption = resumption
        self.moved = False
        """The call goes on elsewhere."""
        self.over = asyncio.Event()
        self._call = call
        self._seal = seal if Capability.CHECKPOINTS in call.admitted.capabilities else None
        self._telemetry = telemetry
        self.principal = principal
        self._told: tuple[object, ...] = ()
        """What the newest checkpoint was about."""
        self._phrase = (0, 0, -1)
        """Turn, generation and index of the phrase that is being sent."""
        self._sealed_ms = 0
        self._through = 0
        """What the client's token accounts for."""
        self._life: asyncio.Timeout | None = None
        self._silent_since_ms: float | None = None
        """Of a call that was resumed and has not spoken yet, on the process's clock."""

    @property
    def kept(self) -> bool:
        """Whether the client keeps checkpoints."""
        return self._seal is not None

    @property
    def movable(self) -> bool:
        """Whether the client can be asked to take the call elsewhere."""
        return self.kept and Capability.GO_AWAY in self._call.admitted.capabilities

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def news(self) -> bool:
        """Whether the newest checkpoint is out of date, now that the machine has handled something."""
        if self._seal is None or self._call.machine.finished:
            return False
        state = self._call.machine.state
        reply, agenda = state.reply, state.agenda
        about = (
            self._call.admitted,
            state.history,
            state.turn,
            reply and (reply.generation, reply.marks.text_done_ms is None, self._lengths_known(reply)),
            (agenda.queued_speech, agenda.held, agenda.keys),
        )
        changed = about != self._told
        self._told = about
        return changed

    def _lengths_known(self, reply: ReplyState) -> int:
        """How many phrases that something was sent of have a known length: what was heard of them is counted by it."""
        turn, _, index = self._phrase
        begun = reply.ledger.phrases[: index + 1] if turn == reply.turn else ()
        return sum(phrase.samples is not None for phrase in begun)

    def begins_phrase(self, turn: int, generation: int, sample: int) -> bool:
        """Whether audio up to `sample` of the answer, about to be sent, has a phrase that nothing was sent of yet."""
        reply = self._call.machine.state.reply
        if reply is None or reply.turn != turn:
            return False
        index, _ = reply.ledger.first_unheard(sample)
        phrase = (turn, generation, index)
        begins, self._phrase = phrase != self._phrase, phrase
        return begins

    def checkpoint(self) -> CheckpointOut | None:
        """The state of the call as it is now; None where it cannot be sealed, or is over."""
        if self._seal is None or (self._call.machine.finished and not self.moved):
            return None
        call = self._call
        now, admitted = call.inbox.now(), call.admitted
        reply = call.machine.state.reply
        played_ms = self.first_played_ms(reply.turn) if reply is not None else None
        received = self._accounted()
        checkpoint = CallCheckpoint(
            call_id=call.call_id,
            config_revision=call.config_revision,
            language_code=admitted.language_code,
            input_rate_hz=admitted.input_rate_hz,
            output_rate_hz=admitted.output_rate_hz,
            wishes=wishes_of(admitted.overrides),
            received_through_sample=received,
            talk=talk_of(
                call.machine.state,
                now=now,
                heard_samples=call.downlink.heard_samples(),
                played_ms=None if played_ms is None else round(played_ms),
            ),
        )
        token = self._seal.seal(checkpoint, principal=self.principal)
        if not token:
            log.warning("checkpoint_too_large", turn=checkpoint.talk.turn)
            self._sealed_ms = -1
            return None
        self._sealed_ms, self._through = now, received
        self._telemetry.checkpoint_made(len(token))
        return CheckpointOut(token, received, self._seal.valid_ms)

    def sign_of_life(self) -> CheckpointOut:
        """What is sent when there was nothing else to send for a while."""
        seal, now = self._seal, self._call.inbox.now()
        if seal is not None and self._sealed_ms >= 0 and now - self._sealed_ms >= seal.valid_ms * RENEWED_AT:
            renewed = self.checkpoint()
            if renewed is not None:
                return renewed
        if self._sealed_ms >= 0:
            self._through = self._accounted()
        return CheckpointOut(b"", self._through, 0)

    def go_away(self) -> GoAwayOut | None:
        """The call as it is now, to be taken elsewhere at once; None where it cannot be sealed."""
        self.moved = True
        checkpoint = self.checkpoint()
        self.moved = checkpoint is not None
        if checkpoint is None:
            return None
        reason = "The gateway is about to stop; the call goes on at another one."
        return GoAwayOut(reason, round(LEAVING_S * 1000), checkpoint)

    def _accounted(self) -> int:
        """Microphone samples, at the client's rate, that the state accounts for."""
        hearing, utterances = self._call.hearing, self._call.machine.state.utterances
        if len(utterances) < MAX_UTTERANCES:
            # Else the oldest stretches of a long turn are kept as one, under a number of their own.
            oldest = utterances[0].number if utterances else None
            hearing.began = {
                number: start for number, start in hearing.began.items() if oldest is not None and number >= oldest
            }
        if hearing.began:
            return hearing.intake.positions.of(min(hearing.began.values()))
        return hearing.intake.positions.of(max(hearing.spoken_through, hearing.log.end - hearing.late(LATE_ONSET_MS)))

    def first_played_ms(self, turn: int) -> float | None:
        """When the client began to play the turn's answer, in call time; None where it does not say so, or began to
        play it elsewhere.
        """
        played_ms = self._call.downlink.first_played_ms(turn)
        if played_ms is None or (self.resumption is not None and self.resumption.heard_of(turn)):
            return None
        return self._call.inbox.call_ms(played_ms)

    # ---- a call that came from elsewhere -----------------------------------------------------------------------------

    def begun(self, now_ms: float) -> None:
        """A resumed call begins at `now_ms` of the process's clock."""
        if self.resumption is not None:
            self._silent_since_ms = now_ms

    def spoke(self, now_ms: float) -> None:
        """The client was sent audio, or an answer is not under way."""
        if self.resumption is not None and self._silent_since_ms is not None:
            asked, took_ms = self.resumption.asked, now_ms - self._silent_since_ms
            self._silent_since_ms = None
            self._telemetry.resume_gap(asked.cause, (asked.gap_ms + took_ms) / 1000)

    # ---- the end here ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        """The life of the call in this stream. Raises CallMoved where another stream takes it over."""
        try:
            async with asyncio.timeout(None) as self._life:
                yield
        except TimeoutError:
            if self._life is None or not self._life.expired():
                raise
            self.moved = True
            raise CallMoved from None
        finally:
            self.over.set()

    async def supersede(self) -> None:
        """Another stream takes the call over: end it here, without a word."""
        if self._life is not None and not self._life.expired() and not self.over.is_set():
            self._life.reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(TAKEOVER_S):
            await self.over.wait()
            await asyncio.sleep(0)
