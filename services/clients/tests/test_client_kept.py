"""What is kept for a lost connection: microphone audio by sample numbers, and wishes until they are confirmed."""

from hypothesis import given
from hypothesis import strategies as st

from voice_clients.kept import KeptAudio, Repeat, Unconfirmed

RATE = 1000


def samples(first: int, count: int) -> bytes:
    """Audio in which each sample is its position."""
    return b"".join((position % 65_536).to_bytes(2, "little") for position in range(first, first + count))


def all_after(audio: KeptAudio, position: int, most: int = 100) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while True:
        first, pcm = audio.after(position, most)
        if not pcm:
            return found
        found.append((first, pcm))
        position = first + len(pcm) // 2


def test_nothing_is_kept_that_a_checkpoint_accounts_for() -> None:
    audio = KeptAudio(RATE)
    for first in range(0, 1000, 20):
        audio.add(samples(first, 20))
    audio.accounted(515)
    assert (audio.first, audio.end, audio.forgotten) == (515, 1000, 0)
    pieces = all_after(audio, 0)
    assert pieces[0][0] == 515
    assert b"".join(pcm for _, pcm in pieces) == samples(515, 485)
    assert max(len(pcm) for _, pcm in pieces) == 200


def test_the_newest_chunk_comes_as_it_was() -> None:
    audio = KeptAudio(RATE)
    audio.add(samples(0, 20))
    audio.add(samples(20, 300))
    assert audio.after(20, 100) == (20, samples(20, 300))
    assert audio.after(320, 100) == (320, b"")


def test_what_is_older_than_the_bound_is_forgotten_and_said() -> None:
    audio = KeptAudio(RATE, keep_s=1.0)
    for first in range(0, 1500, 100):
        audio.add(samples(first, 100))
    audio.accounted(200)
    assert (audio.first, audio.forgotten) == (500, 300)
    assert all_after(audio, 200)[0][0] == 500


def test_half_a_sample_waits_for_its_other_half() -> None:
    audio = KeptAudio(RATE)
    pcm = samples(0, 10)
    audio.add(pcm[:5])
    audio.add(b"")
    assert audio.end == 2
    audio.add(pcm[5:])
    assert (audio.end, all_after(audio, 0)[0]) == (10, (0, pcm))


def test_a_gateway_cannot_account_for_what_was_never_recorded() -> None:
    audio = KeptAudio(RATE)
    audio.add(samples(0, 10))
    audio.accounted(5_000)
    audio.add(samples(10, 10))
    assert all_after(audio, 0) == [(10, samples(10, 10))]


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 120)), max_size=60), st.integers(1, 200))
def test_whatever_is_replayed_has_its_true_position(steps: list[tuple[int, int]], most: int) -> None:
    audio = KeptAudio(RATE, keep_s=0.5)
    end = accounted = 0
    for count, back in steps:
        audio.add(samples(end, count))
        end += count
        accounted = max(accounted, end - back)
        audio.accounted(end - back)
        pieces = all_after(audio, 0, most)
        assert b"".join(pcm for _, pcm in pieces) == samples(audio.first, end - audio.first)
        assert audio.first == max(accounted, end - 500, 0)
        position = audio.first
        for first, pcm in pieces:
            assert first == position
            position += len(pcm) // 2


# ---- wishes ---------------------------------------------------------------------------------------------------------


def test_a_typed_turn_is_said_again_until_a_checkpoint_holds_it_and_only_once() -> None:
    wishes: Unconfirmed[str] = Unconfirmed()
    wishes.made("hello", Repeat.TEXT, handed=True)
    wishes.token(0)  # was on its way before the text arrived
    assert wishes.again() == ["hello"]
    assert wishes.again() == [], "a text that breaks two gateways is not tried on a third"


def test_a_checkpoint_after_processing_holds_the_typed_turn() -> None:
    wishes: Unconfirmed[str] = Unconfirmed()
    wishes.made("hello", Repeat.TEXT, handed=True)
    wishes.processing(3)
    assert wishes.again() == ["hello"], "processed, and in no checkpoint"
    wishes.processing(3)
    wishes.token(2)
    wishes.made("and", Repeat.TEXT, handed=True)
    wishes.token(3)
    assert wishes.again() == ["and"]


def test_the_processing_of_a_spoken_turn_says_nothing_about_a_typed_one() -> None:
    wishes: Unconfirmed[str] = Unconfirmed()
    wishes.made("typed", Repeat.TEXT, handed=True)
    wishes.transcript(4, "spoken")
    wishes.processing(4)
    wishes.token(4)
    assert wishes.again() == ["typed"]


def test_a_typed_turn_comes_back_as_a_transcript_and_is_known_by_it() -> None:
    wishes: Unconfirmed[str] = Unconfirmed()
    wishes.made("hello", Repeat.TEXT, handed=True, text=" hello  there ")
    wishes.transcript(1, "hello there")
    wishes.processing(1)
    wishes.token(0)
    assert wishes.again() == []


def test_settings_are_said_again_and_moments_only_where_nothing_followed() -> None:
    wishes: Unconfirmed[str] = Unconfirmed()
    wishes.made("hold", Repeat.STATE, handed=True)
    wishes.made("interrupt", Repeat.MOMENT, handed=True)
    wishes.made("digit", Repeat.ONCE, handed=True)
    assert wishes.again() == ["hold", "interrupt"]
    wishes = Unconfirmed()
    wishes.made("hold", Repeat.STATE, handed=True)
    wishes.made("interrupt", Repeat.MOMENT, handed=True)
    wishes.received()
    wishes.token(0)
    assert wishes.again() == ["hold"], "one checkpoint may have been on its way"
    wishes = Unconfirmed()
    wishes.made("hold", Repeat.STATE, handed=True)
    wishes.token(0)
    wishes.token(0)
    assert wishes.again() == []


def test_what_was_wished_without_a_connection_is_sent_whatever_it_is() -> None:
    wishes: Unconfirmed[str] = Unconfirmed()
    for name, repeat in (("text", Repeat.TEXT), ("digit", Repeat.ONCE), ("interrupt", Repeat.MOMENT)):
        wishes.made(name, repeat, handed=False)
    wishes.received()
    assert wishes.again() == ["text", "digit", "interrupt"]
    assert wishes.again() == ["text", "interrupt"], (
        "the digit may have arrived; the others are known not to count twice"
    )
