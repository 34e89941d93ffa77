"""Admitted callers become calls; the process's calls are known here."""

from servicekit.logs import get_logger, rebind
from voice_gateway.application.admission import AT_CAPACITY_RETRY_MS, DRAINING_RETRY_MS
from voice_gateway.application.call import Call
from voice_gateway.application.messages import Hello, ResumeIn
from voice_gateway.application.overrides import Admitted, admit
from voice_gateway.application.ports import BackendSelection, BackendWish, CallTransport, Load
from voice_gateway.application.resumption import CallMoved, Resumption, readmit, taken_up
from voice_gateway.application.services import CallServices
from voice_gateway.application.tracing import NO_TRACE, CallTrace
from voice_gateway.domain.errors import AtCapacity, BackendKind, Draining, GatewayError, ResumeRefused

log = get_logger(__name__)


class CallRunner:
    """Runs calls."""

    def __init__(self, services: CallServices, selection: BackendSelection) -> None:
        self._services = services
        self._selection = selection
        self._running: dict[str, Call] = {}
        self._draining = False

    @property
    def running(self) -> int:
        """Calls in progress."""
        return len(self._running)

    async def run(
        self,
        hello: Hello,
        transport: CallTransport,
        *,
        call_id: str,
        trace: CallTrace = NO_TRACE,
        principal: str = "",
    ) -> None:
        """Hold one call, from its first message on; one that was cut off goes on under the name it had. `principal` is
        who calls, as far as that is known. Raises GatewayError.
        """
        self._refuse_where_draining()  # it was let in before, and said nothing until now
        if hello.resume is None:
            admitted = admit(hello, self._services.config.current())
            await self._hold(admitted, transport, call_id=call_id, trace=trace, principal=principal)
            return
        resumption, admitted = self._taken_up(hello, hello.resume, principal)
        checkpoint = resumption.checkpoint
        trace.resumes(checkpoint.call_id)
        trace.begun(sample_rate_hz=admitted.input_rate_hz, language=admitted.language_code, resumed=hello.resume.cause)
        rebind(call_id=checkpoint.call_id, connection=call_id)  # the end of the stream is told by its caller
        log.info(
            "call_resumed",
            cause=hello.resume.cause,
            gap_ms=resumption.asked.gap_ms,
            age_ms=resumption.age_ms,
            turn=checkpoint.talk.turn,
            in_answer=checkpoint.talk.answer is not None,
        )
        await self._hold(
            admitted,
            transport,
            call_id=checkpoint.call_id,
            trace=trace,
            principal=principal,
            resumption=resumption,
        )

    def _taken_up(self, hello: Hello, asked: ResumeIn, principal: str) -> tuple[Resumption, Admitted]:
        result = "invalid"
        try:
            resumption = taken_up(asked, self._services.seal, principal=principal)
            admitted = readmit(hello, resumption)
            result = "ok"
        except ResumeRefused as error:
            result = error.why
            log.info("resume_refused", why=error.why, detail=error.detail)
            raise
        finally:
            self._services.telemetry.resume_asked(asked.cause, result)
        return resumption, admitted

    async def supersede(self, hello: Hello, *, principal: str) -> bool:
        """End the call that `principal` comes back to, if it is held here and can go on: its place is then the new
        stream's. False where there is no such call; then nothing has changed.
        """
        older = self._held_for(hello, principal)
        if older is None:
            return False
        await older.continuity.supersede()
        return True

    def _held_for(self, hello: Hello, principal: str) -> Call | None:
        if hello.resume is None or self._draining:
            return None
        try:
            resumption = taken_up(hello.resume, self._services.seal, principal=principal)
            # What would be refused then must not end the call that goes on.
            self._selection.select(_wish(readmit(hello, resumption)))
        except GatewayError:
            return None
        older = self._running.get(resumption.checkpoint.call_id)
        return older if older is not None and older.continuity.principal == principal else None

    async def _hold(
        self,
        admitted: Admitted,
        transport: CallTransport,
        *,
        call_id: str,
        trace: CallTrace,
        principal: str,
        resumption: Resumption | None = None,
    ) -> None:
        backends = self._selection.select(_wish(admitted))
        while (older := self._running.get(call_id)) is not None:
            await self._end(older)
            self._refuse_where_draining()  # the calls were told meanwhile, and this one is not yet among them
        call = Call(
            admitted,
            transport,
            backends,
            self._services,
            call_id=call_id,
            trace=trace,
            principal=principal,
            resumption=resumption,
        )
        self._running[call_id] = call
        try:
            await call.run()
        except CallMoved:
            # The stream ends well: the call is somewhere else.
            log.info("call_moved")
        finally:
            del self._running[call_id]

    async def _end(self, older: Call) -> None:
        """The call goes on in another stream. Raises AtCapacity where its end here takes too long."""
        try:
            await older.continuity.supersede()
        except TimeoutError:
            raise AtCapacity(
                "The connection that this call had before is still ending here; try again in a moment.",
                retry_after_ms=AT_CAPACITY_RETRY_MS,
            ) from None

    def _refuse_where_draining(self) -> None:
        if self._draining:
            raise Draining("This gateway is about to stop; call again.", retry_after_ms=DRAINING_RETRY_MS)

    def load(self) -> Load:
        """What waits in the calls, and which configuration they go by."""
        depths: dict[str, float] = {}
        revisions: dict[str, int] = {}
        for call in self._running.values():
            revisions[call.config_revision] = revisions.get(call.config_revision, 0) + 1
            for queue, depth in call.depths().items():
                depths[queue] = max(depth, depths.get(queue, 0.0))
        return Load(depths, revisions)

    async def drain(self, *, deadline_ms: int, resumable_ms: int | None = None) -> None:
        """Tell every call that the process stops in `deadline_ms`, or `resumable_ms` where it can go on elsewhere."""
        self._draining = True
        for call in list(self._running.values()):
            await call.drain(deadline_ms=deadline_ms, resumable_ms=resumable_ms)


def _wish(admitted: Admitted) -> BackendWish:
    overrides = admitted.overrides
    named: list[tuple[BackendKind, str | None]] = [
        ("asr", overrides.asr_model),
        ("llm", overrides.llm_model),
        ("tts", overrides.tts_model),
    ]
    models = tuple((kind, model) for kind, model in named if model is not None)
    return BackendWish(admitted.language_code, models)
