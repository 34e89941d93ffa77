"""What a caller receives, checked message by message against the order that the contract promises."""

from dataclasses import dataclass, field

from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioOut,
    EventKind,
    EventOut,
    LatencyOut,
    PlaybackOut,
    PlaybackVerb,
    TranscriptOut,
)


@dataclass(slots=True)
class Received:
    """Give it each message in turn; it fails at the first that may not come there."""

    turn: int = 0
    """The turn that is being answered; 0 when none is."""
    spoke: bool = False
    """SPEAKING was told of it."""
    ended: set[int] = field(default_factory=set)
    """Turns that END_OF_TURN was told of: nothing of them may follow."""
    generation: int = 0
    samples: int = 0
    fatal: bool = False

    def take(self, message: object) -> None:
        assert not self.fatal, "nothing follows a fatal error"
        match message:
            case EventOut(turn=turn, kind=kind, fatal=fatal):
                self.fatal = fatal
                self._event(turn, kind)
            case TranscriptOut(turn=turn, text=text):
                assert text
                assert turn not in self.ended
            case AnswerTextOut(turn=turn):
                assert turn not in self.ended
            case AudioOut(turn=turn, generation=generation, first_sample=first_sample, pcm=pcm):
                assert self.spoke, "SPEAKING comes before audio"
                assert turn == self.turn
                assert generation >= self.generation
                if generation > self.generation:
                    self.generation, self.samples = generation, 0
                assert first_sample == self.samples, "no audio is lost or sent twice"
                assert pcm
                assert len(pcm) % 2 == 0
                self.samples += len(pcm) // 2
            case PlaybackOut(generation=generation, verb=PlaybackVerb.FLUSH):
                assert generation > self.generation
                self.generation, self.samples = generation, 0
            case LatencyOut(report=report):
                assert report.turn in self.ended
            case _:
                pass

    def _event(self, turn: int, kind: EventKind) -> None:
        match kind:
            case EventKind.PROCESSING:
                assert turn not in self.ended
                assert not self.turn, "one turn at a time"
                self.turn, self.spoke = turn, False
            case EventKind.SPEAKING:
                # A text that is spoken as it is has no PROCESSING before it.
                assert self.turn in (0, turn)
                self.turn, self.spoke = turn, True
            case EventKind.END_OF_TURN:
                assert self.turn in (0, turn)
                assert turn not in self.ended, "a turn ends once"
                self.ended.add(turn)
                self.turn, self.spoke = 0, False
            case _:
                pass
