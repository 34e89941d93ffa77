"""A loudspeaker by arithmetic keeps the same books as the buffer that plays samples."""

from hypothesis import example, given
from hypothesis import strategies as st

from voice_clients.events import PlaybackAction
from voice_clients.load.loudspeaker import Loudspeaker
from voice_clients.playback import PlaybackBuffer

RATE_HZ = 16_000
TICK_MS = 20
TICK = RATE_HZ * TICK_MS // 1000

Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 6)),
        st.tuples(st.just("time"), st.integers(1, 8)),
        st.tuples(st.sampled_from(["next", "flush", "pause", "resume", "stop"]), st.just(0)),
    ),
    max_size=60,
)


@given(steps)
@example([("audio", 1), ("time", 2), ("pause", 0), ("audio", 1), ("time", 1), ("resume", 0), ("time", 3)])
def test_it_has_played_what_a_buffer_has_played(script: list[Step]) -> None:
    buffer, speaker = PlaybackBuffer(RATE_HZ, prebuffer_ms=0), Loudspeaker(RATE_HZ)
    now_ns, generation, position = 0, 1, 0
    for what, count in script:
        match what:
            case "audio":
                buffer.push(bytes(2 * TICK * count), generation=generation, first_sample=position)
                speaker.push(generation, position, TICK * count, now_ns)
                position += TICK * count
            case "time":
                for _ in range(count):
                    buffer.take(TICK)
                now_ns += count * TICK_MS * 1_000_000
            case "stop":
                played = buffer.stop()
                assert speaker.stop(now_ns) == (played.generation, played.samples)
                generation, position = generation + 1, 0
            case "next":
                generation, position = generation + 1, 0
            case "flush":
                generation, position = generation + 1, 0
                buffer.command(PlaybackAction.FLUSH, generation=generation)
                speaker.flush(generation, now_ns)
            case "pause":
                buffer.command(PlaybackAction.PAUSE)
                speaker.pause(now_ns)
            case _:
                buffer.command(PlaybackAction.RESUME)
                speaker.resume(now_ns)
        assert speaker.played(now_ns) == (buffer.played.generation, buffer.played.samples)


def ms(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def test_a_gap_is_silence_inside_an_answer_and_not_between_answers() -> None:
    speaker = Loudspeaker(RATE_HZ)
    speaker.push(1, 0, TICK * 5, ms(0))
    speaker.push(1, TICK * 5, TICK * 5, ms(130))  # 30 ms late
    speaker.push(2, 0, TICK * 5, ms(900))
    assert speaker.gaps_ms == [30.0]
    assert speaker.silent_at_ns() == ms(1000)


def test_audio_of_a_flushed_answer_is_not_played() -> None:
    speaker = Loudspeaker(RATE_HZ)
    assert speaker.push(1, 0, TICK * 50, ms(0))
    speaker.flush(2, ms(100))
    assert not speaker.push(1, TICK * 50, TICK, ms(110))
    assert speaker.next_ack(ms(500)) == (1, TICK * 5)
    assert speaker.next_ack(ms(600)) is None


def test_jitter_is_that_of_arrivals_and_not_the_burst_at_the_start() -> None:
    even, uneven = Loudspeaker(RATE_HZ), Loudspeaker(RATE_HZ)
    for number in range(10):  # the lead, at once
        for speaker in (even, uneven):
            speaker.push(1, number * TICK, TICK, ms(1))
    for number in range(10, 400):
        even.push(1, number * TICK, TICK, ms(20 * number))
        uneven.push(1, number * TICK, TICK, ms(20 * number + (8 if number % 2 else 0)))
    assert even.jitter_ms == 0
    assert 7.9 < uneven.jitter_ms < 8.1
