"""What the fakes' logs say about a call's turns: how long the backends themselves took, and what a barge-in stopped."""

from collections import defaultdict
from dataclasses import dataclass

from voice_fakes import Event


@dataclass(frozen=True, slots=True)
class BackendWaits:
    """What one turn waited for, in ms, by the fakes' own logs."""

    asr_ms: float
    """Arrival of the last speech to the final result."""
    llm_ms: float
    """Arrival of the request to the token that completed the first phrase."""
    tts_ms: float
    """Arrival of the phrase to its first chunk."""
    added_ms: float
    """The rest: between the caller and the recogniser, from one backend's answer to the next one's request, and from
    the last thing that was needed, the final result or the sound, to the caller."""
    early: bool
    """The language model was asked before the final result."""
    reply: int
    """Which of the script's replies it was."""

    @property
    def serial_ms(self) -> float:
        """The backends' waits one after the other."""
        return self.asr_ms + self.llm_ms + self.tts_ms


class Accounts:
    """A log, sorted by call."""

    def __init__(self, events: list[Event]) -> None:
        self._by_request: dict[tuple[str, int], list[Event]] = defaultdict(list)
        self._calls: dict[tuple[str, str], list[int]] = defaultdict(list)
        for event in events:
            key = (event.source, event.request)
            self._by_request[key].append(event)
            call = event.fields.get("call_id")
            if call:
                self._calls[event.source, str(call)].append(event.request)

    def waits(self, call_id: str, speech_end_ms: float, first_audio_ms: float) -> BackendWaits | None:
        """Waits of the turn that began to be answered between these two times; None where the log is not complete."""
        finals = [
            (event, speech)
            for event, speech in self._finals(call_id)
            if speech_end_ms - 400 <= event.t_ms <= first_audio_ms
        ]
        # The last one: those before it were guesses that were thrown away.
        llm = self._last(call_id, "llm", speech_end_ms - 400, first_audio_ms)
        if not finals or llm is None:
            return None
        llm_request = self._by_request["llm", llm][0]
        tts = self._first(call_id, "tts", llm_request.t_ms, first_audio_ms)
        if tts is None:
            return None
        tts_request = self._named("tts", tts, "request")
        tts_chunk = self._named("tts", tts, "first_chunk_sent")
        tokens = [event.t_ms for event in self._by_request["llm", llm] if event.name == "token"]
        before_phrase = [t_ms for t_ms in tokens if tts_request and t_ms <= tts_request.t_ms]
        if tts_request is None or tts_chunk is None or not before_phrase:
            return None
        final, speech = finals[-1]
        return BackendWaits(
            asr_ms=final.t_ms - speech,
            llm_ms=before_phrase[-1] - llm_request.t_ms,
            tts_ms=tts_chunk.t_ms - tts_request.t_ms,
            added_ms=speech
            - speech_end_ms
            + max(0.0, llm_request.t_ms - final.t_ms)
            + tts_request.t_ms
            - before_phrase[-1]
            + first_audio_ms
            - max(final.t_ms, tts_chunk.t_ms),
            early=llm_request.t_ms < final.t_ms,
            reply=int(llm_request.fields.get("reply", 0)),
        )

    def after_interruption(self, call_id: str, from_ms: float, stop_ms: float, next_turn_ms: float) -> dict[str, int]:
        """What became of the requests of the answer that was cut at `stop_ms`, having begun after `from_ms`."""
        counts = {"llm_closed": 0, "llm_finished": 0, "tts_cancelled": 0, "tts_finished": 0, "tts_late": 0}
        for source in ("llm", "tts"):
            for request in self._calls[source, call_id]:
                events = self._by_request[source, request]
                began_ms = events[0].t_ms
                if not from_ms <= began_ms < next_turn_ms:
                    continue
                if source == "tts" and began_ms > stop_ms + 50:
                    counts["tts_late"] += 1
                    continue
                names = {event.name for event in events}
                if source == "llm":
                    counts["llm_closed" if "client_closed" in names else "llm_finished"] += 1
                else:
                    counts["tts_cancelled" if "cancelled" in names else "tts_finished"] += 1
        return counts

    def _finals(self, call_id: str) -> list[tuple[Event, float]]:
        """Final results of a call with words, each with the arrival of its last speech."""
        found: list[tuple[Event, float]] = []
        for request in self._calls["asr", call_id]:
            speech_end_ms = None
            for event in self._by_request["asr", request]:
                if event.name == "speech_end":
                    speech_end_ms = event.t_ms
                elif event.name == "final_sent" and event.fields.get("text") and speech_end_ms is not None:
                    found.append((event, speech_end_ms))
        return sorted(found, key=lambda pair: pair[0].t_ms)

    def _first(self, call_id: str, source: str, from_ms: float, to_ms: float) -> int | None:
        return min(self._begun(call_id, source, from_ms, to_ms), default=(0.0, None))[1]

    def _last(self, call_id: str, source: str, from_ms: float, to_ms: float) -> int | None:
        return max(self._begun(call_id, source, from_ms, to_ms), default=(0.0, None))[1]

    def _begun(self, call_id: str, source: str, from_ms: float, to_ms: float) -> list[tuple[float, int]]:
        begun = [(self._by_request[source, request][0].t_ms, request) for request in self._calls[source, call_id]]
        return [(t_ms, request) for t_ms, request in begun if from_ms <= t_ms <= to_ms]

    def _named(self, source: str, request: int, name: str) -> Event | None:
        return next((event for event in self._by_request[source, request] if event.name == name), None)
