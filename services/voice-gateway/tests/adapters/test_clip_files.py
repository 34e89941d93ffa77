"""Clips on disk: kept whole, and not used where they are not what was kept."""

import asyncio
from pathlib import Path

import pytest

from voice_gateway.adapters.clip_files import MAX_FILES, ClipFiles
from voice_gateway.application.canned import CannedClip, ClipKey

KEY = ClipKey("Sorry.", "en-US", "Aria", 16_000)
CLIP = CannedClip("Sorry.", b"\x01\x02" * 400, (120, 400))


async def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when needed"
    assert await ClipFiles(folder).load(KEY) is None
    await ClipFiles(folder).save(KEY, CLIP)
    assert await ClipFiles(folder).load(KEY) == CLIP
    assert [path.name for path in folder.iterdir()] == [f"{KEY.name}.clip"]


@pytest.mark.parametrize(
    "other",
    [
        ClipKey("Sorry!", "en-US", "Aria", 16_000),
        ClipKey("Sorry.", "en-GB", "Aria", 16_000),
        ClipKey("Sorry.", "en-US", "Leo", 16_000),
        ClipKey("Sorry.", "en-US", "Aria", 8_000),
    ],
)
async def test_another_text_voice_language_or_rate_is_another_clip(tmp_path: Path, other: ClipKey) -> None:
    await ClipFiles(tmp_path).save(KEY, CLIP)
    assert await ClipFiles(tmp_path).load(other) is None
    (tmp_path / f"{other.name}.clip").write_bytes((tmp_path / f"{KEY.name}.clip").read_bytes())
    assert await ClipFiles(tmp_path).load(other) is None


@pytest.mark.parametrize("size", [0, 1, 40, 200, -1, -2])
async def test_a_file_that_was_cut_short_is_not_used_and_is_made_again(tmp_path: Path, size: int) -> None:
    store, path = ClipFiles(tmp_path), tmp_path / f"{KEY.name}.clip"
    await store.save(KEY, CLIP)
    path.write_bytes(path.read_bytes()[:size])
    assert await store.load(KEY) is None
    await store.save(KEY, CLIP)
    assert await store.load(KEY) == CLIP


@pytest.mark.parametrize(
    "content", [b"\n", b"{}\n\x00\x00", b"[]\n", b"null\n\x00\x00", b'{"format": 2}\n', b"\xff\xfe\n", b"no line"]
)
async def test_a_file_of_something_else_is_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{KEY.name}.clip").write_bytes(content)
    assert await ClipFiles(tmp_path).load(KEY) is None


async def test_changed_samples_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / f"{KEY.name}.clip"
    await ClipFiles(tmp_path).save(KEY, CLIP)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert await ClipFiles(tmp_path).load(KEY) is None


async def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    await ClipFiles(taken).save(KEY, CLIP)
    assert await ClipFiles(taken).load(KEY) is None
    assert taken.read_text() == "not a folder"


def test_old_files_do_not_pile_up(tmp_path: Path) -> None:
    store = ClipFiles(tmp_path)

    async def save(number: int) -> ClipKey:
        key = ClipKey(f"Text {number}.", "en-US", "", 16_000)
        await store.save(key, CannedClip(key.text, b"\x01\x00"))
        return key

    for number in range(MAX_FILES + 5):
        key = asyncio.run(save(number))
    assert len(list(tmp_path.iterdir())) == MAX_FILES
    assert asyncio.run(store.load(key)) is not None
