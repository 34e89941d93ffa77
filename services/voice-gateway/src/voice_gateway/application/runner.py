"""Admitted callers become calls; the process's calls are known here."""

from voice_gateway.application.call import Call
from voice_gateway.application.messages import Hello
from voice_gateway.application.overrides import Admitted, admit
from voice_gateway.application.ports import BackendSelection, BackendWish, CallTransport, Load
from voice_gateway.application.services import CallServices
from voice_gateway.application.tracing import NO_TRACE, CallTrace
from voice_gateway.domain.errors import BackendKind


class CallRunner:
    """Runs calls."""

    def __init__(self, services: CallServices, selection: BackendSelection) -> None:
        self._services = services
        self._selection = selection
        self._running: dict[str, Call] = {}

    @property
    def running(self) -> int:
        """Calls in progress."""
        return len(self._running)

    async def run(self, hello: Hello, transport: CallTransport, *, call_id: str, trace: CallTrace = NO_TRACE) -> None:
        """Hold one call, from its first message on. Raises GatewayError."""
        admitted = admit(hello, self._services.config.current())
        backends = self._selection.select(_wish(admitted))
        call = Call(admitted, transport, backends, self._services, call_id=call_id, trace=trace)
        self._running[call_id] = call
        try:
            await call.run()
        finally:
            del self._running[call_id]

    def load(self) -> Load:
        """What waits in the calls, and which configuration they go by."""
        depths: dict[str, float] = {}
        revisions: dict[str, int] = {}
        for call in self._running.values():
            revisions[call.config_revision] = revisions.get(call.config_revision, 0) + 1
            for queue, depth in call.depths().items():
                depths[queue] = max(depth, depths.get(queue, 0.0))
        return Load(depths, revisions)

    async def drain(self, *, deadline_ms: int) -> None:
        """Tell every call that the process stops in `deadline_ms`."""
        for call in list(self._running.values()):
            await call.drain(deadline_ms=deadline_ms)


def _wish(admitted: Admitted) -> BackendWish:
    overrides = admitted.overrides
    named: list[tuple[BackendKind, str | None]] = [
        ("asr", overrides.asr_model),
        ("llm", overrides.llm_model),
        ("tts", overrides.tts_model),
    ]
    models = tuple((kind, model) for kind, model in named if model is not None)
    return BackendWish(admitted.language_code, models)
