"""Sealed tokens: who may open them, for how long, and how large they get."""

import base64
import json
import random
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from voice_gateway.adapters.checkpoint_seal import (
    MAX_PLAIN_BYTES,
    MAX_TOKEN_BYTES,
    FileKeys,
    ProcessKeys,
    SealedTokens,
)
from voice_gateway.adapters.followed_files import FileUnusable
from voice_gateway.domain.checkpoint import AnswerUnderWay, CallCheckpoint, Talk
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.errors import ResumeRefused
from voice_gateway.domain.heard import SpokenPhrase


def key(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


HISTORY = (Message(Role.USER, "what time is it"), Message(Role.ASSISTANT, "It is noon."))
CHECKPOINT = CallCheckpoint(call_id="ab12", received_through_sample=16_000, talk=Talk(turn=1, history=HISTORY))


class Clock:
    """Wall time."""

    def __init__(self) -> None:
        self.s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.s


def keys_file(folder: Path, *lines: str) -> Path:
    path = folder / "keys"
    path.write_text("\n".join(lines) + "\n")
    return path


def seal_with(path: Path, clock: Clock) -> SealedTokens:
    return SealedTokens(FileKeys(path), valid_s=300, now_s=clock)


def why(seal: SealedTokens, token: bytes, principal: str = "") -> str:
    with pytest.raises(ResumeRefused) as refused:
        seal.open(token, principal=principal)
    assert str(refused.value).startswith("The checkpoint ")
    assert refused.value.reason == "RESUME_REFUSED"
    assert not refused.value.retryable
    return refused.value.why


# ---- round trips ----------------------------------------------------------------------------------------------------


def test_another_process_with_the_key_opens_it(tmp_path: Path) -> None:
    clock = Clock()
    path = keys_file(tmp_path, "# made for a test", "", f"one:{key(1)}")
    here, there = seal_with(path, clock), seal_with(path, clock)
    token = here.seal(CHECKPOINT, principal="anna")
    clock.s += 2.5
    opened = there.open(token, principal="anna")
    assert (opened.checkpoint, opened.age_ms) == (CHECKPOINT, 2_500)
    assert b"noon" not in token
    assert here.seal(CHECKPOINT, principal="anna") != token, "no two are alike"


def test_what_a_model_says_in_half_characters_is_sealed_too() -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    odd = replace(CHECKPOINT, talk=Talk(history=(Message(Role.ASSISTANT, "half \ud83d of नमस्ते"),)))
    assert seal.open(seal.seal(odd, principal=""), principal="").checkpoint == odd


def test_a_process_of_its_own_key_opens_only_its_own() -> None:
    here, there = SealedTokens(ProcessKeys(), valid_s=300), SealedTokens(ProcessKeys(), valid_s=300)
    token = here.seal(CHECKPOINT, principal="")
    assert here.open(token, principal="").checkpoint == CHECKPOINT
    assert why(there, token) == "unreadable"


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_every_changed_byte_is_noticed() -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    token = seal.seal(CHECKPOINT, principal="")
    for place in range(len(token)):
        changed = bytearray(token)
        changed[place] ^= 1
        assert why(seal, bytes(changed)) == "unreadable", place


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 20, 45, -1])
def test_a_token_that_is_cut_off_is_unreadable(cut: int) -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    assert why(seal, seal.seal(CHECKPOINT, principal="")[:cut]) == "unreadable"


def test_what_is_none_of_ours_is_unreadable() -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    for token in (b"VWC\x02" + bytes(100), bytes(100), b"VWC\x01\xff", bytes(MAX_TOKEN_BYTES + 1)):
        assert why(seal, token) == "unreadable"


def test_it_expires(tmp_path: Path) -> None:
    clock = Clock()
    seal = seal_with(keys_file(tmp_path, f"one:{key(1)}"), clock)
    token = seal.seal(CHECKPOINT, principal="")
    clock.s += 300
    assert seal.open(token, principal="").age_ms == 300_000
    clock.s += 1
    assert why(seal, token) == "expired"
    clock.s -= 400
    assert why(seal, token) == "expired", "made in the future"
    with pytest.raises(ResumeRefused) as refused:
        seal.open(token, principal="")
    assert refused.value.detail == "sealed 99 s from now: clocks differ"
    clock.s += 90
    assert seal.open(token, principal="").age_ms == 0, "by a clock that is a little ahead"


@pytest.mark.parametrize(("made_for", "brought_by"), [("anna", "ben"), ("anna", ""), ("", "ben"), ("anna", "ann")])
def test_it_is_bound_to_the_caller(made_for: str, brought_by: str) -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    assert why(seal, seal.seal(CHECKPOINT, principal=made_for), brought_by) == "foreign"


def test_a_text_that_inflates_without_end_is_not_held() -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    assert why(seal, seal.encrypted(zlib.compress(b'{"for":"' + bytes(MAX_PLAIN_BYTES) + b'"}'))) == "unreadable"
    huge = replace(CHECKPOINT, talk=Talk(history=tuple(Message(Role.USER, "a" * 90_000) for _ in range(12))))
    token = seal.seal(huge, principal="")
    assert 3 < len(seal.open(token, principal="").checkpoint.talk.history) < 12, "and none is made"


# ---- keys -----------------------------------------------------------------------------------------------------------


def test_keys_are_rotated_while_calls_go_on(tmp_path: Path) -> None:
    path = keys_file(tmp_path, f"old:{key(1)}")
    keys = FileKeys(path)
    seal = SealedTokens(keys, valid_s=300)
    token = seal.seal(CHECKPOINT, principal="")

    def edit(*lines: str) -> None:
        path.unlink()
        keys_file(tmp_path, *lines)
        keys.files.look()

    edit(f"old:{key(1)}", f"new:{key(2)}")
    assert seal.seal(CHECKPOINT, principal="")[5:8] == b"old", "other processes may not know the new one yet"
    edit(f"new:{key(2)}", f"old:{key(1)}")
    later = seal.seal(CHECKPOINT, principal="")
    assert later[5:8] == b"new"
    assert seal.open(token, principal="").checkpoint == CHECKPOINT
    edit(f"new:{key(2)}")
    assert seal.open(later, principal="").checkpoint == CHECKPOINT
    assert why(seal, token) == "unreadable"


@pytest.mark.parametrize("bad", ["", "new:short", "nonsense", "# only a comment"])
def test_a_bad_edit_of_the_keys_changes_nothing(tmp_path: Path, bad: str) -> None:
    path = keys_file(tmp_path, f"one:{key(1)}")
    keys = FileKeys(path)
    seal = SealedTokens(keys, valid_s=300)
    token = seal.seal(CHECKPOINT, principal="")
    path.unlink()
    keys.files.look()
    assert seal.open(token, principal="").checkpoint == CHECKPOINT, "the file is gone"
    keys_file(tmp_path, bad)
    keys.files.look()
    assert keys.files.refusal is not None
    assert seal.open(token, principal="").checkpoint == CHECKPOINT
    assert seal.seal(CHECKPOINT, principal="")[5:8] == b"one"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((f"one:{key(1)}", f"one:{key(2)}"), "Line 2"),
        (("one:bm90IDMyIGJ5dGVz",), "base64 of 32 bytes"),
        ((f"o ne:{key(1)}",), "Line 1"),
        ((key(1),), "Line 1"),
        ((), "holds no key"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_with_a_sentence(
    tmp_path: Path, lines: tuple[str, ...], says: str
) -> None:
    with pytest.raises(FileUnusable, match=says) as refused:
        FileKeys(keys_file(tmp_path, *lines))
    assert key(1) not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="can't be read: No such file"):
        FileKeys(tmp_path / "keys")


# ---- size -----------------------------------------------------------------------------------------------------------


def noise(seed: int, characters: int) -> str:
    """Text that cannot be compressed much."""
    return base64.b85encode(random.Random(seed).randbytes(characters)).decode()[:characters]


@pytest.mark.parametrize(
    "talk",
    [
        Talk(history=tuple(Message((Role.USER, Role.ASSISTANT)[n % 2], noise(n, 900)) for n in range(120))),
        Talk(history=(*HISTORY, Message(Role.USER, noise(1, 90_000)), Message(Role.ASSISTANT, "the end"))),
        Talk(
            history=(Message(Role.USER, noise(2, 40_000)),),
            answer=AnswerUnderWay(phrases=(SpokenPhrase("word", 9, tuple(range(0, 1_000_000, 11))),)),
        ),
    ],
)
def test_the_oldest_history_goes_until_it_fits(talk: Talk) -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    token = seal.seal(replace(CHECKPOINT, talk=talk), principal="anna")
    assert 0 < len(token) <= MAX_TOKEN_BYTES
    kept = seal.open(token, principal="anna").checkpoint.talk
    assert kept.history
    assert kept.history == talk.history[-len(kept.history) :]
    assert len(kept.history) == len(talk.history) == 1 or len(kept.history) < len(talk.history)


def test_what_cannot_be_made_small_enough_is_not_sealed() -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    assert seal.seal(CallCheckpoint(talk=Talk(history=(Message(Role.USER, noise(1, 90_000)),))), principal="") == b""


# ---- versions -------------------------------------------------------------------------------------------------------

PREVIOUS = {
    "checkpoint": 0,
    "readable_from": 0,
    "call": {
        "_": "CallCheckpoint",
        "call_id": "ab12",
        "talk": {"_": "Talk", "turn": 2, "history": [{"_": "Message", "role": "user", "text": "hello"}]},
    },
}
"""As a release before may have written it: less of everything."""

NEXT = {
    "checkpoint": 2,
    "readable_from": 1,
    "mood": "new",
    "call": {
        "_": "CallCheckpoint",
        "call_id": "ab12",
        "weather": {"_": "Weather", "rain": True},
        "talk": {
            "_": "Talk",
            "turn": 2,
            "history": [{"_": "Message", "role": "user", "text": "hello", "tone": "glad"}],
            "known": {"_": "Known", "expected": "an_iban"},
            "answer": {"_": "AnswerUnderWay", "turn": 2, "origin": {"_": "Origin", "canned": "video"}},
        },
    },
}
"""As a release after may write it: fields and kinds that are not known here."""


@pytest.mark.parametrize("document", [PREVIOUS, NEXT])
def test_releases_before_and_after_are_read(document: dict[str, object]) -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    token = sealed_document(seal, document)
    checkpoint = seal.open(token, principal="").checkpoint
    assert checkpoint.call_id == "ab12"
    assert checkpoint.talk.turn == 2
    assert checkpoint.talk.history == (Message(Role.USER, "hello"),)
    assert checkpoint.output_rate_hz == 16_000
    assert checkpoint.talk.answer is None or checkpoint.talk.answer.origin.canned is None


@pytest.mark.parametrize(
    "document",
    [
        {**NEXT, "readable_from": 2},
        {"checkpoint": 1},
        {"checkpoint": "1", "call": NEXT["call"]},
        {**NEXT, "call": {"_": "CallCheckpoint", "talk": {"_": "Talk", "turn": "two"}}},
        {},
    ],
)
def test_what_would_be_misread_is_refused(document: dict[str, object]) -> None:
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    assert why(seal, sealed_document(seal, document)) == "unreadable"


def sealed_document(seal: SealedTokens, document: dict[str, object]) -> bytes:
    """A token as another release writes it: the seal is the same, what is in it differs."""
    return seal.encrypted(zlib.compress(json.dumps({**seal.envelope(""), **document}).encode()))


def test_what_is_refused_is_not_quoted() -> None:
    """The reason is logged, and the conversation must not be."""
    seal = SealedTokens(ProcessKeys(), valid_s=300)
    document = {**NEXT, "call": {"_": "CallCheckpoint", "talk": {"_": "Talk", "turn": 2, "history": "Rumpelstiltskin"}}}
    with pytest.raises(ResumeRefused) as refused:
        seal.open(sealed_document(seal, document), principal="")
    assert "form that is not known" in refused.value.detail
    assert "Rumpelstiltskin" not in refused.value.detail
