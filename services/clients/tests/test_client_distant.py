"""The listener on a bad line keeps honest books: on virtual time, with nothing but a note of what it acknowledged."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from servicekit.testing import run_virtual
from voice_clients.events import AnswerAudio, Playback, PlaybackAction
from voice_clients.testing.distant import DistantListener

RATE = 16_000
CHUNK = RATE // 50


class Noted:
    """Writes down what is acknowledged, and what had been played by then."""

    def __init__(self) -> None:
        self.acks: list[tuple[int, int]] = []
        self.listener: DistantListener | None = None
        self.played_then: list[int] = []

    async def ack(self, generation: int, samples: int) -> None:
        assert self.listener is not None
        self.acks.append((generation, samples))
        self.played_then.append(max(part.end for part in self.listener.log if part.generation == generation))


@settings(max_examples=30)
@given(jitter_ms=st.sampled_from([0, 100, 400]), seed=st.integers(0, 999), chunks=st.integers(5, 40))
def test_what_is_logged_is_what_was_played_and_acknowledged(jitter_ms: int, seed: int, chunks: int) -> None:
    """Audio of generation 1 in real time, a flush in its middle, then as much of generation 2."""
    noted = Noted()

    async def call() -> DistantListener:
        listener = noted.listener = DistantListener(noted, RATE, jitter_ms=jitter_ms, seed=seed)
        playing = asyncio.create_task(listener.run(), name="listener")
        for generation in (1, 2):
            for number in range(chunks):
                pcm = bytes([generation, number]) * CHUNK
                listener.take(AnswerAudio(0, 1, generation, number * CHUNK, pcm))
                await asyncio.sleep(0.02)
            if generation == 1:
                listener.take(Playback(0, PlaybackAction.FLUSH, 2, 0.0))
        await asyncio.sleep(2.0)
        playing.cancel()
        await asyncio.wait([playing])
        return listener

    listener = run_virtual(call())
    for generation in (1, 2):
        parts = [part for part in listener.log if part.generation == generation]
        ends = [0, *(part.end for part in parts)]
        assert [part.first for part in parts] == ends[:-1]  # every sample once, in order
        acknowledged = [samples for number, samples in noted.acks if number == generation]
        assert acknowledged == sorted(acknowledged)
        assert (acknowledged or [0])[-1] == ends[-1]
    assert [part.generation for part in listener.log] == sorted(part.generation for part in listener.log)
    assert sum(part.end - part.first for part in listener.log if part.generation == 2) == chunks * CHUNK
    assert all(samples <= played for (_, samples), played in zip(noted.acks, noted.played_then, strict=True))
    audio = listener.played_audio()
    assert len(audio) == 2 * sum(part.end - part.first for part in listener.log)
    assert audio[-2:] == bytes([2, chunks - 1])
