"""Second backends and breakers, and a model that judges ends of turns: what some gateways have beside the three."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from voice_gateway.application.clock import LoopClock
from voice_gateway.application.failover import FallbackAsr, FallbackLlm, FallbackTts, NamedModel
from voice_gateway.application.ladder import Ladder
from voice_gateway.application.ports import Asr, Backends, EndOfTurnUnknown, Telemetry, Tts
from voice_gateway.domain.breaker import BreakerPolicy
from voice_gateway.testing.backends import AsrScript, FakeAsr, FakeLlm, FakeTts, LlmScript, Log, TtsScript


@dataclass(slots=True)
class Spares:
    """How the second backend of each kind behaves, where there is one. With none at all there are still breakers."""

    asr: AsrScript | None = None
    llm: LlmScript | None = None
    tts: TtsScript | None = None
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    failover_ms: int = 1_000

    def behind(self, first: Backends, log: Log, telemetry: Telemetry) -> Backends:
        """Lists that begin with `first`. What the second ones see comes into the same log."""
        clock, wait = LoopClock(), self.failover_ms
        asrs: list[Asr] = [first.asr, *([FakeAsr(self.asr, log)] if self.asr else [])]
        llms = [NamedModel(first.llm), *([NamedModel(FakeLlm(self.llm, log))] if self.llm else [])]
        ttses: list[Tts] = [first.tts, *([FakeTts(self.tts, log)] if self.tts else [])]
        asr = Ladder[Asr]("asr", asrs, clock=clock, telemetry=telemetry, policy=self.breaker)
        llm = Ladder[NamedModel]("llm", llms, clock=clock, telemetry=telemetry, policy=self.breaker)
        tts = Ladder[Tts]("tts", ttses, clock=clock, telemetry=telemetry, policy=self.breaker)
        return Backends(
            FallbackAsr(asr, failover_ms=wait), FallbackLlm(llm, failover_ms=wait), FallbackTts(tts, failover_ms=wait)
        )


class FakeTurnModel:
    """Judges in turn as it was told to; the last judgement repeats. None is a judgement that never comes."""

    def __init__(self, judgements: Sequence[float | None], *, answer_ms: float = 20, timeout_ms: float = 200) -> None:
        self.heard: list[bytes] = []
        """What it was asked about."""
        self._judgements = judgements
        self._answer_ms = answer_ms
        self._timeout_ms = timeout_ms

    async def score(self, pcm: bytes) -> float:
        """Judge. Raises `EndOfTurnUnknown`."""
        judgement = self._judgements[min(len(self.heard), len(self._judgements) - 1)]
        self.heard.append(pcm)
        await asyncio.sleep((self._timeout_ms if judgement is None else self._answer_ms) / 1000)
        if judgement is None:
            raise EndOfTurnUnknown("The model did not answer in time.")
        return judgement
