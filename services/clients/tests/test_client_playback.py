"""The playback buffer: counts exactly, never plays what was flushed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.events import PlaybackAction
from voice_clients.playback import PlaybackBuffer, PlayedSamples

RATE = 16_000


def pcm_of(value: int, samples: int) -> bytes:
    return np.full(samples, value, dtype="<i2").tobytes()


def test_silence_before_anything_arrives() -> None:
    buffer = PlaybackBuffer(RATE)
    assert buffer.take(320) == bytes(640)
    assert buffer.next_acks() == []


def test_waits_for_the_prebuffer_then_plays() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=40)
    buffer.push(pcm_of(7, 320))
    assert buffer.take(320) == bytes(640)
    buffer.push(pcm_of(7, 320), first_sample=320)
    assert buffer.take(320) == pcm_of(7, 320)


def test_a_short_answer_plays_after_the_prebuffer_time_even_if_no_more_comes() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=40)
    buffer.push(pcm_of(7, 100))
    blocks = [buffer.take(320) for _ in range(3)]
    assert blocks[:2] == [bytes(640)] * 2
    assert blocks[2] == pcm_of(7, 100) + bytes(440)
    assert buffer.underruns == 1


def test_the_end_of_the_answer_ends_the_waiting() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=40)
    buffer.push(pcm_of(7, 100))
    buffer.end_of_answer()
    assert buffer.take(100) == pcm_of(7, 100)


def test_flush_empties_refuses_late_audio_and_acknowledges_at_once() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    buffer.push(pcm_of(7, 1000), generation=1)
    buffer.take(300)
    assert buffer.next_acks() == [PlayedSamples(1, 300)]
    buffer.command(PlaybackAction.FLUSH, generation=2)
    assert buffer.next_acks() == [PlayedSamples(1, 300)]
    buffer.push(pcm_of(7, 500), generation=1, first_sample=1000)
    assert buffer.stale_samples == 1200
    assert buffer.take(320) == bytes(640)
    buffer.push(pcm_of(9, 320), generation=2)
    assert buffer.take(320) == pcm_of(9, 320)
    assert buffer.next_acks() == [PlayedSamples(1, 300), PlayedSamples(2, 320)]


def test_an_answer_that_pauses_and_goes_on_in_the_next_generation_counts_from_its_word() -> None:
    """Ducked, flushed, then resumed at the word where it paused: positions count from 0 in the new generation."""
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    buffer.push(pcm_of(10_000, 960), generation=1)
    heard = buffer.take(320)
    buffer.command(PlaybackAction.DUCK, generation=1, gain_db=-15.0)
    heard += buffer.take(320)
    buffer.command(PlaybackAction.FLUSH, generation=2)
    assert buffer.next_acks() == [PlayedSamples(1, 640)]
    assert buffer.take(320) == bytes(640)
    buffer.push(pcm_of(7, 320), generation=1, first_sample=960)  # was on the wire already
    buffer.push(pcm_of(10_000, 320), generation=2, first_sample=0)
    again = np.frombuffer(buffer.take(320), dtype="<i2")
    assert again.tolist() == [10_000] * 320  # at full loudness from its first sample
    assert buffer.next_acks() == [PlayedSamples(1, 640), PlayedSamples(2, 320)]
    assert buffer.stale_samples == 640
    assert len(heard) == 2 * 640


def test_pause_keeps_and_resume_goes_on_at_the_sample() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    audio = np.arange(640, dtype="<i2").tobytes()
    buffer.push(audio, generation=1)
    heard = buffer.take(320)
    buffer.command(PlaybackAction.PAUSE, generation=1)
    assert buffer.take(320) == bytes(640)
    assert buffer.played == PlayedSamples(1, 320)
    buffer.command(PlaybackAction.RESUME, generation=1)
    assert heard + buffer.take(320) == audio


def test_ducking_ramps_to_the_gain_and_back() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    buffer.push(pcm_of(10_000, 4 * 320), generation=1)
    buffer.take(320)
    buffer.command(PlaybackAction.DUCK, generation=1, gain_db=-20.0)
    ramped = np.frombuffer(buffer.take(320), dtype="<i2")
    assert ramped[0] == 10_000
    assert ramped[-1] == pytest.approx(1000, abs=1)
    assert int(np.abs(np.diff(ramped.astype(int))).max()) < 100  # no click
    assert np.frombuffer(buffer.take(320), dtype="<i2")[0] == pytest.approx(1000, abs=1)
    buffer.command(PlaybackAction.DUCK, generation=1, gain_db=0.0)
    assert np.frombuffer(buffer.take(320), dtype="<i2")[-1] == 10_000


def test_half_samples_wait_for_their_other_half() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    audio = np.arange(100, dtype="<i2").tobytes()
    for at in range(0, len(audio), 7):
        buffer.push(audio[at : at + 7])
    assert buffer.take(100) == audio
    assert buffer.played == PlayedSamples(0, 100)


def test_positions_follow_the_gateway_where_it_sends_them() -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    buffer.push(pcm_of(7, 100), generation=3, first_sample=5000)
    buffer.take(60)
    assert buffer.played == PlayedSamples(3, 5060)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 900), st.integers(0, 2)),
        st.tuples(st.just("take"), st.integers(1, 700), st.just(0)),
        st.tuples(st.just("flush"), st.just(0), st.integers(0, 2)),
        st.tuples(st.just("pause"), st.just(0), st.just(0)),
        st.tuples(st.just("resume"), st.just(0), st.just(0)),
        st.tuples(st.just("next"), st.just(0), st.just(0)),
        st.tuples(st.just("ack"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS, prebuffer_ms=st.sampled_from([0, 20, 40]))
def test_any_history_counts_exactly_and_never_plays_a_flushed_generation(
    steps: list[tuple[str, int, int]], prebuffer_ms: int
) -> None:
    """Each sample's value is its generation, so that what is played tells where it came from."""
    buffer = PlaybackBuffer(RATE, prebuffer_ms=prebuffer_ms)
    newest, floor = 1, 0
    received: dict[int, int] = {}
    heard: dict[int, int] = {}
    acks: list[PlayedSamples] = []
    for step, amount, back in steps:
        match step:
            case "next":
                newest += 1
            case "push":
                generation = newest if back == 0 else max(floor - back, 0)  # late audio is of a flushed generation
                if generation == newest or generation < floor:
                    buffer.push(
                        pcm_of(generation, amount), generation=generation, first_sample=received.get(generation, 0)
                    )
                    received[generation] = received.get(generation, 0) + amount
            case "flush":
                newest += 1
                floor = newest
                buffer.command(PlaybackAction.FLUSH, generation=floor)
                assert buffer.buffered_samples == 0
            case "pause":
                buffer.command(PlaybackAction.PAUSE)
            case "resume":
                buffer.command(PlaybackAction.RESUME)
            case "ack":
                acks += buffer.next_acks()
            case _:
                block = np.frombuffer(buffer.take(amount), dtype="<i2")
                assert len(block) == amount
                for generation, count in zip(*np.unique(block[block != 0], return_counts=True), strict=True):
                    assert generation >= floor
                    heard[int(generation)] = heard.get(int(generation), 0) + int(count)
    acks += buffer.next_acks()
    assert buffer.played.samples == heard.get(buffer.played.generation, 0)
    for generation, count in heard.items():
        assert max(ack.samples for ack in acks if ack.generation == generation) == count
    for generation in {ack.generation for ack in acks}:
        counts = [ack.samples for ack in acks if ack.generation == generation]
        assert counts == sorted(counts)
    assert sum(heard.values()) + buffer.buffered_samples + buffer.stale_samples == sum(received.values())


@pytest.mark.parametrize("generation", [1, 2])
def test_after_a_lost_connection_the_answer_begins_to_count_anew(generation: int) -> None:
    buffer = PlaybackBuffer(RATE, prebuffer_ms=0)
    buffer.push(pcm_of(7, 1000) + b"\x07", generation=1)
    buffer.take(300)
    buffer.command(PlaybackAction.PAUSE)
    assert buffer.stop() == PlayedSamples(1, 300)
    assert buffer.take(100) == bytes(200)
    buffer.push(pcm_of(9, 400), generation=generation)
    assert buffer.take(400) == pcm_of(9, 400)
    assert buffer.next_acks()[-1] == PlayedSamples(generation, 400)
