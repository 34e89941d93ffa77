"""Calls whose connection is lost at any moment: they go on in another gateway as if nothing had been."""

import asyncio
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from gateway_phones import Phone, Pods
from gateway_resumed import ANSWERS, GAP_S, phoned, token_of

from servicekit.testing import run_virtual
from voice_gateway.adapters.journal_files import JournalFiles, JournalOptions
from voice_gateway.adapters.wire import encode
from voice_gateway.application.continuity import LEAVING_S
from voice_gateway.application.messages import (
    Capability,
    CheckpointOut,
    EventKind,
    Hello,
    LatencyOut,
    Overrides,
    ResumeIn,
    SessionOut,
)
from voice_gateway.application.resumption import taken_up
from voice_gateway.domain.checkpoint import CallCheckpoint
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.errors import Draining, GatewayError, InvalidConfig, ResumeRefused
from voice_gateway.domain.recording import Words, read
from voice_gateway.domain.replay import replay
from voice_gateway.domain.resuming import GO_ON
from voice_gateway.testing.backends import AsrScript
from voice_gateway.testing.seals import OpenSeal
from voice_gateway.testing.world import ALL_CAPABILITIES, RESUMABLE, FakeTransport, Received, World

WHOLE = [word for answer in ANSWERS.values() for word in answer.split()]
PHRASES = (
    "It is noon now.",
    "The sun is high, and so are the birds.",
    "There was a harbour.",
    "It was small, and it was old.",
    "Ships came at night.",
    "The end.",
    "You are welcome.",
    "Good bye.",
)
"""As the voice is given them."""
STARTS = [0, *accumulate(len(phrase.split()) for phrase in PHRASES)]
"""Words before each."""


async def converse(phone: Phone, *, word_ms: int = 100) -> None:
    """Three questions, each after the answer before."""
    await asyncio.sleep(0.3)
    for turn, question in enumerate(ANSWERS, start=1):
        await phone.say(question, milliseconds=len(question.split()) * word_ms)
        await phone.until_ended(turn)
        await asyncio.sleep(0.2)


@dataclass(frozen=True)
class Talked:
    """What came of a conversation."""

    history: tuple[Message, ...]
    phone: Phone
    took_ms: float


async def talked(
    *, lost_at_ms: int | None = None, again_after_ms: int | None = None, more_again_ms: int = 0, word_ms: int = 100
) -> Talked:
    """A conversation whose connection is lost at a moment, and a second time a while after it was taken up."""
    pods = Pods(list(ANSWERS), ANSWERS)

    async def lose(phone: Phone) -> None:
        for wait_ms in (lost_at_ms, again_after_ms):
            if wait_ms is not None:
                await asyncio.sleep(wait_ms / 1000)
                await phone.lose()
                await asyncio.sleep(GAP_S)
                await phone.connect()

    async with phoned(pods, more_again_ms=more_again_ms) as phone:
        losing = asyncio.create_task(lose(phone), name="lose")
        await converse(phone, word_ms=word_ms)
        took_ms = asyncio.get_running_loop().time() * 1000
        await losing
        return Talked(pods.history(), phone, took_ms)


UNDISTURBED_MS = 6_300
STORY_AT_MS = 3_900
"""In the second half of the second answer."""


@cache
def undisturbed() -> Talked:
    return run_virtual(talked(), limit_s=60)


def test_an_undisturbed_call() -> None:
    """What the others are held against."""
    talk = undisturbed()
    assert [message.text for message in talk.history] == [text for pair in ANSWERS.items() for text in pair]
    assert talk.phone.heard() == WHOLE
    assert UNDISTURBED_MS - 300 <= talk.took_ms <= UNDISTURBED_MS
    assert talk.phone.seen.tokens > 10


@pytest.mark.parametrize("lost_at_ms", range(0, UNDISTURBED_MS, 100))
def test_a_call_that_is_lost_at_any_moment_goes_on(lost_at_ms: int) -> None:
    talk = run_virtual(talked(lost_at_ms=lost_at_ms), limit_s=60)
    assert_as_if_undisturbed(talk, losses=1)
    ((cause, gap_s),) = talk.phone.pods.telemetry.resume_gaps
    assert cause == "reset"
    assert GAP_S <= gap_s <= 1.0


@pytest.mark.parametrize("lost_at_ms", range(50, UNDISTURBED_MS, 200))
def test_so_does_one_that_is_lost_again_at_once(lost_at_ms: int) -> None:
    assert_as_if_undisturbed(run_virtual(talked(lost_at_ms=lost_at_ms, again_after_ms=130), limit_s=60), losses=2)


@pytest.mark.parametrize("lost_at_ms", range(100, 4_000, 300))
def test_speech_that_lasts_is_heard_from_its_beginning(lost_at_ms: int) -> None:
    talk = run_virtual(talked(lost_at_ms=lost_at_ms, word_ms=700), limit_s=60)
    assert_as_if_undisturbed(talk, losses=1)
    pods = talk.phone.pods
    for question, value in pods.values.items():
        longest = max(memoryview(audio).cast("H").tolist().count(value) for audio in pods.asr.audio)
        assert longest == len(question.split()) * 700 * 16, "all of it was in one stream of the recogniser"


@pytest.mark.parametrize("lost_at_ms", range(500, UNDISTURBED_MS, 300))
def test_what_is_sent_again_beyond_what_is_wanted_is_not_heard_again(lost_at_ms: int) -> None:
    talk = run_virtual(talked(lost_at_ms=lost_at_ms, more_again_ms=5_000), limit_s=60)
    assert_as_if_undisturbed(talk, losses=1)


def assert_as_if_undisturbed(talk: Talked, *, losses: int) -> None:
    assert talk.history == undisturbed().history
    seen = talk.phone.seen
    assert not seen.errors
    assert [text for _, text in dict(seen.finals).items()] == list(ANSWERS), "each question is understood once"
    assert sorted(set(seen.ended)) == [1, 2, 3], "and answered once"
    assert [session.resumed for session in seen.sessions] == [False, *[True] * losses]
    assert len({session.call_id for session in seen.sessions}) == 1
    assert_it_went_on_where_it_broke_off(talk.phone)


def assert_it_went_on_where_it_broke_off(phone: Phone) -> None:
    """What is heard between two losses begins with the phrase that broke off, or the next where that was at its end."""
    heard, begun = phone.heard(), 0
    for first, last in pairwise([0, *phone.broke_off, len(heard)]):
        part = heard[first:last]
        may_begin = {max(start for start in STARTS if start <= max(0, begun - 1))} | ({begun} & set(STARTS))
        begins = next((start for start in may_begin if WHOLE[start : start + len(part)] == part), None)
        assert begins is not None, f"{part} after {WHOLE[:begun]}"
        begun = begins + len(part) if part else begun
    assert begun == len(WHOLE), "all is heard"


@pytest.mark.parametrize("lost_at_ms", range(1_000, UNDISTURBED_MS, 250))
def test_what_was_heard_before_the_loss_began_when_it_began(lost_at_ms: int) -> None:
    """The report of a turn tells when its answer was first sent and played: here or in the gateway before."""
    before = {report.turn: report for report in undisturbed().phone.pods.telemetry.reports}
    talk = run_virtual(talked(lost_at_ms=lost_at_ms), limit_s=60)
    heard = talk.phone.heard()[: talk.phone.broke_off[0]]
    for report in talk.phone.pods.telemetry.reports:
        first = 1 + [0, *accumulate(len(answer.split()) for answer in ANSWERS.values())][report.turn - 1]
        if report.outcome != "answered" or len(heard) < first:
            continue
        sent, played = report.stage("first_audio_sent"), report.stage("first_audio_played")
        usual = before[report.turn].stage("first_audio_sent"), before[report.turn].stage("first_audio_played")
        assert sent is not None
        assert usual[0] is not None
        assert usual[1] is not None
        assert sent.end_ms == pytest.approx(usual[0].end_ms, abs=3)
        if played is not None:  # it was lost before the client had said so
            assert played.end_ms == pytest.approx(usual[1].end_ms, abs=25)


def test_when_it_was_first_played_is_known_elsewhere_too() -> None:
    """So that the test above has something to hold against."""
    talk = run_virtual(talked(lost_at_ms=STORY_AT_MS), limit_s=60)
    (report,) = (each for each in talk.phone.pods.telemetry.reports if (each.turn, each.outcome) == (2, "answered"))
    assert report.stage("first_audio_played") is not None


def test_a_model_that_had_not_finished_is_told_to_go_on() -> None:
    """So that the tests above are known to pass there."""
    asked = [
        request.messages[-1].text
        for lost_at_ms in range(1_000, 2_000, 100)
        for request in run_virtual(talked(lost_at_ms=lost_at_ms), limit_s=60).phone.pods.llm.requests
    ]
    assert asked.count(GO_ON) >= 2


def test_a_report_comes_when_the_end_of_its_turn_is_kept() -> None:
    """So that no other gateway ends the turn once more, and reports it."""

    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["what time is it"]), seal=OpenSeal())
        async with world.call(Hello(sample_rate_hz=16_000, capabilities=RESUMABLE)) as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.END_OF_TURN)
            await caller.silence(100)
        messages = [item.message for item in caller.transport.received]
        (reported,) = (at for at, message in enumerate(messages) if isinstance(message, LatencyOut))
        (ended,) = (at for at, message in enumerate(messages) if getattr(message, "kind", "") is EventKind.END_OF_TURN)
        tokens = [message.token for message in messages[ended:reported] if isinstance(message, CheckpointOut)]
        assert world.seal is not None
        assert [world.seal.open(token, principal="").checkpoint.talk.answer for token in tokens] == [None]

    run_virtual(scenario(), limit_s=60)


# ---- interruptions --------------------------------------------------------------------------------------------------

SAID = ("tell me a story", "wait please", "thank you")


async def interrupted(lost_at_ms: int) -> Talked:
    """A caller who speaks over the answer, before or after the connection is lost."""
    pods = Pods(SAID, {**ANSWERS, "wait please": "As you like. I am waiting."}, ms_per_character=60)
    async with phoned(pods) as phone:

        async def lose() -> None:
            await asyncio.sleep(lost_at_ms / 1000)
            await phone.lose()
            await asyncio.sleep(GAP_S)
            await phone.connect()

        losing = asyncio.create_task(lose(), name="lose")
        await phone.say(SAID[0])
        await phone.until_heard(4)
        await phone.say(SAID[1], milliseconds=600)
        await phone.until_ended(2)
        await asyncio.sleep(0.3)
        await phone.say(SAID[2])
        await phone.until_ended(3)
        await losing
        return Talked(pods.history(), phone, 0.0)


@pytest.mark.parametrize("lost_at_ms", range(500, 4_500, 100))
def test_an_interruption_is_heard_once_and_the_history_holds_what_was_heard(lost_at_ms: int) -> None:
    talk = run_virtual(interrupted(lost_at_ms), limit_s=60)
    said = [message.text for message in talk.history if message.role is Role.USER]
    assert said == list(SAID), "each thing that was said is kept once"
    assert dict(talk.phone.seen.finals) == dict(enumerate(SAID, start=1))
    cut = talk.history[1]
    assert cut.role is Role.ASSISTANT
    assert cut.cut
    told = cut.text.split()
    assert told == ANSWERS[SAID[0]].split()[: len(told)]
    words = [word for word in dict.fromkeys(talk.phone.heard()) if word in ANSWERS[SAID[0]].split()]
    assert len(told) <= len(words) <= len(told) + 2, "it holds what was heard, but for the word that broke off"


def test_a_caller_whose_dial_took_seconds_is_heard_while_the_answer_goes_on() -> None:
    """What was recorded meanwhile does not run ahead of real time."""

    async def scenario() -> float:
        pods = Pods(SAID, {**ANSWERS, "wait please": "As you like. I am waiting."}, ms_per_character=200)
        async with phoned(pods) as phone:
            await phone.say(SAID[0])
            await phone.until_heard(2)
            await phone.lose()
            await phone.connect(takes_s=3.0)
            began_s = asyncio.get_running_loop().time()
            await phone.until_heard(4)
            await phone.say(SAID[1], milliseconds=600)
            await phone.until_ended(1)
            return asyncio.get_running_loop().time() - began_s

    assert run_virtual(scenario(), limit_s=90) < 4.0


# ---- signs of life --------------------------------------------------------------------------------------------------


def test_something_comes_at_least_every_half_second() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        async with phoned(pods) as phone:
            await asyncio.sleep(5)
            await converse(phone)
            await asyncio.sleep(400)
            times = phone.seen.times_ms
            assert max(later - earlier for earlier, later in pairwise(times)) <= 500
            assert len(times) > 1_000
            assert phone.kept.through >= 16 * (400_000 + 5_000), "the audio of silence need not be sent again"
            pods.seal.open(phone.kept.token, principal="")

    run_virtual(scenario(), limit_s=600)


@pytest.mark.parametrize("capabilities", [frozenset[Capability](), ALL_CAPABILITIES])
def test_clients_that_keep_nothing_get_what_they_got_before(capabilities: frozenset[Capability]) -> None:
    async def life(seal: OpenSeal | None) -> list[Received]:
        world = World(asr=AsrScript(transcripts=["what time is it"]), seal=seal)
        async with world.call(Hello(sample_rate_hz=16_000, capabilities=capabilities)) as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.END_OF_TURN)
            await caller.silence(2_000)
        return caller.transport.received

    before, now = (run_virtual(life(seal), limit_s=60) for seal in (None, OpenSeal()))
    assert [item.at_ms for item in before] == [item.at_ms for item in now]
    assert [encode(item.message, capabilities) for item in before[1:]] == [
        encode(item.message, capabilities) for item in now[1:]
    ]
    assert encode(before[0].message, frozenset()) is encode(now[0].message, frozenset()) is None


# ---- drains ---------------------------------------------------------------------------------------------------------


async def drained(*, after_ms: int, resumable_ms: int) -> tuple[Talked, float]:
    """A conversation whose first gateway is told to stop after a while; and how long that gateway then lived."""
    pods = Pods(list(ANSWERS), ANSWERS)
    lived_s = 0.0

    async def drain() -> None:
        nonlocal lived_s
        await asyncio.sleep(after_ms / 1000)
        began = asyncio.get_running_loop().time()
        await pods.runners[0].drain(deadline_ms=25_000, resumable_ms=resumable_ms)
        while pods.runners[0].running:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        lived_s = asyncio.get_running_loop().time() - began

    async with phoned(pods) as phone:
        draining = asyncio.create_task(drain(), name="drain")
        await converse(phone)
        await draining
        await asyncio.gather(*phone.left)
        assert len(phone.left) == 1
        return Talked(pods.history(), phone, 0.0), lived_s


@pytest.mark.parametrize("after_ms", range(100, 6_000, 200))
def test_a_drain_moves_a_call_at_its_next_turn_boundary(after_ms: int) -> None:
    talk, lived_s = run_virtual(drained(after_ms=after_ms, resumable_ms=10_000), limit_s=60)
    assert_as_if_undisturbed(talk, losses=1)
    assert talk.phone.heard() == WHOLE, "nothing is said twice: it moves where nothing is said"
    assert lived_s < 3.0
    assert [cause for cause, _ in talk.phone.pods.telemetry.resume_gaps] == ["go_away"]


@pytest.mark.parametrize("after_ms", range(900, 2_800, 100))
def test_at_the_deadline_it_moves_in_the_middle_of_an_answer(after_ms: int) -> None:
    talk, lived_s = run_virtual(drained(after_ms=after_ms, resumable_ms=100), limit_s=60)
    assert_as_if_undisturbed(talk, losses=1)
    assert lived_s <= 0.2


def test_a_client_that_does_not_leave_is_left() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        phone = Phone(pods)
        await phone.connect()
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await pods.runners[0].drain(deadline_ms=25_000, resumable_ms=10_000)
        assert phone.call is not None
        await phone.call
        assert asyncio.get_running_loop().time() - began == pytest.approx(LEAVING_S, abs=0.1)
        announced, moved = phone.seen.go_aways
        assert (announced.checkpoint, announced.deadline_ms) == (None, 10_000)
        assert moved.checkpoint is not None

    run_virtual(scenario(), limit_s=60)


class NoRoom(OpenSeal):
    """No state fits into a token any more."""

    full = False

    def seal(self, checkpoint: CallCheckpoint, *, principal: str) -> bytes:
        """Nothing, once it is full."""
        return b"" if self.full else super().seal(checkpoint, principal=principal)


def test_a_call_that_cannot_be_sealed_is_no_well_ended_one_when_it_is_sent_away() -> None:
    """Its client has the checkpoint before, and goes on with that from a stream that breaks off."""

    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        pods.seal = seal = NoRoom()
        pods.runners = [pods._runner()]
        phone = Phone(pods)
        await phone.connect()
        await asyncio.sleep(1)
        seal.full = True
        await pods.runners[0].drain(deadline_ms=25_000, resumable_ms=10_000)
        assert phone.call is not None
        with pytest.raises(Draining):
            await phone.call
        assert [away.checkpoint for away in phone.seen.go_aways] == [None]

    run_virtual(scenario(), limit_s=60)


def test_a_gateway_that_stops_takes_no_call_that_was_let_in_before() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        await pods.runners[0].drain(deadline_ms=25_000, resumable_ms=10_000)
        phone = Phone(pods)
        await phone.connect()
        assert phone.call is not None
        with pytest.raises(Draining):
            await phone.call

    run_virtual(scenario(), limit_s=60)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resume", "refused", "result"),
    [
        (ResumeIn(b"nonsense"), ResumeRefused, "unreadable"),
        (ResumeIn(b"", cause="silence"), ResumeRefused, "unreadable"),
    ],
)
def test_a_token_that_is_no_use_never_becomes_a_call(
    resume: ResumeIn, refused: type[GatewayError], result: str
) -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        with pytest.raises(refused):
            await pods.runners[0].run(Hello(resume=resume), FakeTransport(), call_id="a")
        assert pods.telemetry.counts[f"resume_{resume.cause}_{result}"] == 1
        assert not pods.held()

    run_virtual(scenario(), limit_s=60)


def test_a_token_is_bound_to_its_caller_and_its_audio() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        resume = ResumeIn(await token_of(pods, principal="anna"))
        run = pods.runners[1].run
        with pytest.raises(ResumeRefused, match="is of another caller"):
            await run(Hello(resume=resume), FakeTransport(), call_id="b", principal="ben")
        with pytest.raises(InvalidConfig, match="sample_rate is 8000; the call that is resumed has 16000"):
            await run(Hello(resume=resume, sample_rate_hz=8_000), FakeTransport(), call_id="b", principal="anna")
        with pytest.raises(InvalidConfig, match="PCM_S16LE"):
            await run(Hello(resume=resume, wants_other_codec=True), FakeTransport(), call_id="b", principal="anna")
        assert pods.telemetry.counts["resume_unspecified_foreign"] == 1
        assert pods.telemetry.counts["resume_unspecified_invalid"] == 2

    run_virtual(scenario(), limit_s=60)


def test_language_and_wishes_are_those_of_the_call_that_is_resumed() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        resume, transport = ResumeIn(await token_of(pods)), FakeTransport()
        hello = Hello(resume=resume, language_code="fr-FR", overrides=Overrides(llm_system_prompt="not allowed"))
        call = asyncio.create_task(pods.runners[1].run(hello, transport, call_id="b"))
        await asyncio.sleep(0.1)
        (held,) = pods.held()
        assert held.admitted.language_code == "de-DE"
        assert held.admitted.overrides == Overrides()
        assert held.call_id == "a"
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    run_virtual(scenario(), limit_s=60)


@pytest.mark.parametrize(("told_ms", "believed_ms"), [(-5, 0), (1_500, 1_500), (2**62, 300_000)])
def test_a_gap_that_cannot_be_is_not_believed(told_ms: int, believed_ms: int) -> None:
    """One such number would spoil the sum of the metric for good."""

    async def scenario() -> None:
        seal = OpenSeal(valid_ms=300_000)
        token = seal.seal(CallCheckpoint("call-1"), principal="")
        assert taken_up(ResumeIn(token, 0, 0, None, "reset", told_ms), seal, principal="").asked.gap_ms == believed_ms

    run_virtual(scenario(), limit_s=5)


def test_a_gateway_without_a_seal_says_that_calls_cannot_be_resumed() -> None:
    async def scenario() -> None:
        world = World()
        hello = Hello(capabilities=RESUMABLE, sample_rate_hz=16_000)
        async with world.call(hello) as caller:
            await caller.silence(1_000)
        session = caller.transport.received[0].message
        assert isinstance(session, SessionOut)
        assert not session.checkpoints
        assert not [item for item in caller.transport.received if isinstance(item.message, CheckpointOut)]
        with pytest.raises(InvalidConfig, match="resume is not offered"):
            taken_up(ResumeIn(b"x"), None, principal="")

    run_virtual(scenario(), limit_s=60)


# ---- journals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", list(Words))
def test_journals_of_both_halves_replay_and_a_redacted_one_says_nothing(words: Words, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with JournalFiles(JournalOptions(tmp_path, words)).running() as files:
            pods = Pods(list(ANSWERS), ANSWERS, journals=files)
            async with phoned(pods) as phone:
                await phone.say("tell me a story")
                await phone.until_heard(4)
                await phone.lose()
                await asyncio.sleep(GAP_S)
                await phone.connect()
                await phone.until_ended(1)
                await pods.runners[1].drain(deadline_ms=25_000, resumable_ms=10_000)
                await asyncio.sleep(2)

    run_virtual(scenario(), limit_s=600)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    recordings = [read(file.read_text().split("\n")) for file in files]
    for recording in recordings:
        replayed = replay(recording)
        assert (replayed.problems, replayed.notes) == ((), ())
        assert {recording.head.call_id} == {"stream-0"}
    ends = sorted(recording.outcome.status for recording in recordings if recording.outcome is not None)
    assert ends == ["cancelled", "cancelled", "moved"]
    said = "".join(file.read_text() for file in files)
    assert ("harbour" in said) == (words is Words.FULL)
    assert ("tell me" in said) == (words is Words.FULL)
