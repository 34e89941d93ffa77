"""The history that the model is told: bounded, alternating, and marked where it was cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.conversation import (
    Message,
    Role,
    append_answer,
    append_user,
    bounded,
    estimated_tokens,
    with_answer,
    without_answer,
)

TEXTS = st.text("ab é今 ", min_size=1, max_size=200)
HISTORIES = st.lists(
    st.builds(Message, st.sampled_from([Role.USER, Role.ASSISTANT]), TEXTS, st.booleans()), max_size=20
).map(tuple)


def cost(history: tuple[Message, ...]) -> int:
    return sum(estimated_tokens(message.sent_text) + 4 for message in history)


@given(HISTORIES, st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_the_newest_part_that_fits_is_kept(history: tuple[Message, ...], tokens: int) -> None:
    kept = bounded(history, tokens=tokens)
    assert history[len(history) - len(kept) :] == kept, "nothing is left out in between"
    assert bool(kept) is bool(history), "the last message always stays"
    if len(kept) > 1:
        assert cost(kept) <= tokens
        assert kept == history or kept[0].role is Role.USER
    assert bounded(kept, tokens=tokens) == kept


def test_a_history_that_fits_is_kept_whole() -> None:
    history = (Message(Role.USER, "hello"), Message(Role.ASSISTANT, "Hi."), Message(Role.USER, "who are you"))
    assert bounded(history, tokens=3_000) == history
    assert bounded(history, tokens=16) == history[2:]
    assert bounded(history, tokens=0) == history[2:]


def test_a_greeting_is_kept_while_it_fits() -> None:
    history = (Message(Role.ASSISTANT, "Hello."), Message(Role.USER, "who are you"), Message(Role.ASSISTANT, "Ada."))
    assert bounded(history, tokens=3_000) == history
    assert bounded(history, tokens=16) == history[1:]


def test_other_scripts_cost_a_token_a_character() -> None:
    assert estimated_tokens("abcd") == 1
    assert estimated_tokens("abcde") == 2
    assert estimated_tokens("今日は") == 3
    assert estimated_tokens("") == 0


def test_a_question_without_an_answer_is_continued() -> None:
    history = append_user((), "tell me", tokens=100)
    assert append_user(history, "a story", tokens=100) == (Message(Role.USER, "tell me a story"),)
    assert append_user(history, "a story", tokens=1) == (Message(Role.USER, "a story"),)


def test_nothing_heard_is_nothing_said() -> None:
    history = (Message(Role.USER, "tell me"),)
    assert append_answer(history, "", cut=True) == history
    assert append_answer(history, "Once", cut=True)[-1].sent_text == "Once —"
    assert append_answer(history, "Once.", cut=False)[-1].sent_text == "Once."


def test_an_answer_is_put_right_or_taken_out() -> None:
    cut = Message(Role.ASSISTANT, "Once upon", cut=True)
    history = (Message(Role.USER, "tell me"), cut, Message(Role.USER, "stop"))
    shorter = Message(Role.ASSISTANT, "Once", cut=True)
    assert with_answer(history, cut, shorter)[1] == shorter
    assert without_answer(history, cut) == (Message(Role.USER, "tell me stop"),)
    assert without_answer(history[:2], cut) == history[:1]


def test_of_equal_answers_the_newest_is_meant() -> None:
    cut = Message(Role.ASSISTANT, "Well", cut=True)
    history = (Message(Role.USER, "a"), cut, Message(Role.USER, "b"), cut)
    shorter = Message(Role.ASSISTANT, "W", cut=True)
    assert with_answer(history, cut, shorter) == (*history[:3], shorter)
