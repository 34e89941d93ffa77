"""Journals on a real disk: names, modes, bounds, a disk that is slow or gone, a process that dies."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from voice_gateway.adapters.journal_files import LAST_LINES_BYTES, NAME, JournalFile, JournalFiles, JournalOptions
from voice_gateway.application.ports import JournalOpening
from voice_gateway.domain.call_state import CallState, Tuning
from voice_gateway.domain.codec import encode
from voice_gateway.domain.events import CallStarted, Event, InputClosed, TextTurn
from voice_gateway.domain.recording import Head, Outcome, Recording, Words, head_line, read
from voice_gateway.domain.replay import replay

OPENING = JournalOpening(encode(CallState(tuning=Tuning(system_prompt="secret prompt"))), "rev-1")
STARTED = CallStarted(16_000, "secret prompt")
ENDED = Outcome("ok", "closed", 0, 0)
WAIT_S = 20.0
HEAD_BYTES = len(head_line(Head(), OPENING.opening)) + 200


def recording_of(path: Path) -> Recording:
    return read(path.read_text(encoding="utf-8").split("\n"))


class Kept:
    """Journals of one test, and what became of them."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.ends: Counter[str] = Counter()
        base = JournalOptions(folder, gateway="0.1.0")
        self.files = JournalFiles(replace(base, **options), self._count)  # type: ignore[arg-type]

    def _count(self, result: str) -> None:
        self.ends[result] += 1

    def paths(self) -> list[Path]:
        return sorted(self.files.options.folder.iterdir())

    def names(self) -> list[str]:
        return [path.name for path in self.paths()]

    def sizes(self) -> list[int]:
        return [path.stat().st_size for path in self.paths() if NAME.fullmatch(path.name)]


def call(files: JournalFiles, name: str, *events: Event, close: bool = True) -> JournalFile:
    writer = files.open(name, OPENING)
    for at, event in enumerate([STARTED, *events]):
        writer.record(at, event)
    if close:
        writer.close(ENDED)
    return writer


def waits_for(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


def settled(files: JournalFiles) -> None:
    """Wait until all that was handed over is on the disk."""
    done = threading.Event()
    files.put(files.store.flush)
    files.put(done.set)
    assert done.wait(WAIT_S)


async def test_a_journal_is_a_private_file_named_by_time_and_our_own_id(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "deep" / "journals")
    async with kept.files.running() as files:
        writer = call(files, "3f9a1c22d07be415", InputClosed(), close=False)
        settled(files)
        (part,) = kept.names()
        assert part.endswith("-3f9a1c22d07be415.jsonl.part")
        writer.close(ENDED)
    (name,) = kept.names()
    assert part == f"{name}.part"
    path = files.options.folder / name
    assert NAME.fullmatch(name)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    recording = recording_of(path)
    assert (recording.head.call_id, recording.head.gateway) == ("3f9a1c22d07be415", "0.1.0")
    assert (recording.head.config_revision, recording.head.words) == ("rev-1", Words.REDACTED)
    assert recording.head.started_at.endswith("Z")
    assert recording.outcome == ENDED
    assert (recording.damage, replay(recording).problems) == (None, ())
    assert kept.ends == {"kept": 1}


async def test_words_are_kept_only_when_asked_and_the_file_says_so(tmp_path: Path) -> None:
    for words in Words:
        async with Kept(tmp_path / words, words=words).files.running() as files:
            call(files, "c1", TextTurn("my secret", 2))
        (path,) = files.options.folder.iterdir()
        assert (b"secret" in path.read_bytes()) == (words is Words.FULL)
        assert path.name.endswith(".personal.jsonl") == (words is Words.FULL)
        assert recording_of(path).head.words is words


@pytest.mark.parametrize("call_id", ["../../etc/passwd", "a/b", "", "x" * 500, "ümlaut\n"])
async def test_no_id_leads_out_of_the_folder(call_id: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "journals")
    async with kept.files.running() as files:
        call(files, call_id)
    (name,) = kept.names()
    assert NAME.fullmatch(name)
    assert kept.paths()[0].resolve().parent == tmp_path / "journals"


# ---- bounds ---------------------------------------------------------------------------------------------------------


async def test_a_journal_that_grows_too_large_ends_with_a_marker(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_call_bytes=HEAD_BYTES + 4_000)
    async with kept.files.running() as files:
        call(files, "c1", *[TextTurn("x", 1)] * 500)
    (path,) = kept.paths()
    assert HEAD_BYTES + 4_000 - 2 * LAST_LINES_BYTES < path.stat().st_size <= HEAD_BYTES + 4_000
    recording = recording_of(path)
    assert (recording.cut, recording.damage, recording.outcome) == ("size", None, ENDED)
    assert kept.ends == {"cut_size": 1}


async def test_the_oldest_journals_make_room_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(bytes(50_000))
    kept = Kept(tmp_path, max_total_bytes=4 * (HEAD_BYTES + 10_000))
    async with kept.files.running() as files:
        for number in range(12):
            call(files, f"c{number}", *[InputClosed()] * 200)
            settled(files)
            for path in kept.paths():
                if path.name.endswith(f"-c{number}.jsonl"):
                    os.utime(path, (number, number))
            assert sum(kept.sizes()) <= 4 * (HEAD_BYTES + 10_000) + LAST_LINES_BYTES
    ids = {name.split("-")[1] for name in kept.names() if NAME.fullmatch(name)}
    assert 2 <= len(ids) < 12
    assert ids == {f"c{number}.jsonl" for number in range(12 - len(ids), 12)}, "the newest are kept"
    assert (tmp_path / "notes.txt").stat().st_size == 50_000
    assert kept.ends == {"kept": 12}


async def test_where_only_open_journals_are_left_they_are_cut_off(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_total_bytes=2 * HEAD_BYTES + 10_000)
    async with kept.files.running() as files:
        writers = [call(files, f"c{number}", *[InputClosed()] * 500, close=False) for number in range(2)]
        for writer in writers:
            writer.close(ENDED)
    # Heads and last lines are written in any case.
    assert sum(kept.sizes()) <= 3 * HEAD_BYTES + 10_000 + 2 * LAST_LINES_BYTES
    assert kept.ends["cut_total"] >= 1


async def test_a_disk_that_is_too_slow_cuts_journals_off_and_holds_no_call_up(tmp_path: Path) -> None:
    kept = Kept(tmp_path, queue_events=20)
    stuck = threading.Event()
    async with kept.files.running() as files:
        files.put(lambda: waits_for(stuck))
        call(files, "c1", *[TextTurn("x", 1)] * 1_000)  # returns at once, though nothing can be written
        stuck.set()
        settled(files)
        call(files, "c2", *[TextTurn("x", 1)] * 5)
    first, second = map(recording_of, kept.paths())
    assert (first.cut, first.outcome) == ("queue", ENDED)
    assert 10 < len(first.journal.entries) <= 20
    assert (second.cut, len(second.journal.entries)) == ("", 6)
    assert kept.ends == {"cut_queue": 1, "kept": 1}


def _remove(folder: Path) -> None:
    folder.rmdir()


def _replace_by_a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("no folder")


@pytest.mark.parametrize("lose", [_remove, _replace_by_a_file])
async def test_a_folder_that_is_gone_loses_journals_and_no_call(lose: Callable[[Path], None], tmp_path: Path) -> None:
    kept = Kept(tmp_path / "journals")
    async with kept.files.running() as files:
        lose(files.options.folder)
        call(files, "c1", InputClosed())
        settled(files)
        with suppress(FileNotFoundError):
            files.options.folder.unlink()
        files.options.folder.mkdir()
        call(files, "c2", InputClosed())
    assert kept.ends == {"failed": 1, "kept": 1}


async def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        async with Kept(tmp_path / "file" / "journals").files.running():
            raise AssertionError("must not start")


async def test_the_thread_ends_with_the_context(tmp_path: Path) -> None:
    async with Kept(tmp_path).files.running():
        assert "journal-writer" in {thread.name for thread in threading.enumerate()}
    assert "journal-writer" not in {thread.name for thread in threading.enumerate()}


# ---- a process that dies --------------------------------------------------------------------------------------------

RECORDER = """
import asyncio, sys
from pathlib import Path
from voice_gateway.adapters.journal_files import JournalFiles, JournalOptions
from voice_gateway.application.ports import JournalOpening
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import encode
from voice_gateway.domain.events import CallStarted, Tick

async def main():
    async with JournalFiles(JournalOptions(Path(sys.argv[1]))).running() as files:
        writer = files.open("c1", JournalOpening(encode(CallState())))
        writer.record(0, CallStarted(16_000, "canary"))
        for now in range(1, 200):
            writer.record(now, Tick())
        files.put(files.store.flush)
        files.put(lambda: print("written", flush=True))
        while True:
            now += 1
            writer.record(now, Tick())
            await asyncio.sleep(0)

asyncio.run(main())
"""


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from voice_gateway.adapters.journal_files import JournalFiles, JournalOptions
from voice_gateway.application.ports import JournalOpening
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import encode
from voice_gateway.domain.events import CallStarted, Tick
from voice_gateway.domain.recording import Outcome

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, 16_000))  # the system refuses more, as a full disk does
    ends = []
    async with JournalFiles(JournalOptions(Path(sys.argv[1])), ends.append).running() as files:
        writer = files.open("c1", JournalOpening(encode(CallState())))
        writer.record(0, CallStarted(16_000))
        for now in range(1, 2_000):
            writer.record(now, Tick())
        writer.close(Outcome("ok", "closed", 0, 0))
    print(ends, file=sys.stderr)

asyncio.run(main())
"""


def test_a_full_disk_loses_the_end_of_the_journal_and_no_call(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    assert done.stderr == "['failed']\n"
    (path,) = tmp_path.iterdir()
    assert path.name.endswith(".part")
    replayed = replay(recording_of(path))
    assert len(replayed.steps) > 10
    assert replayed.problems == ()


def test_a_process_that_is_killed_leaves_a_journal_that_replays(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RECORDER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)
    finally:
        process.kill()
        process.communicate(timeout=WAIT_S)
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-c1.jsonl.part")
    replayed = replay(recording_of(path))
    assert len(replayed.steps) >= 200
    assert replayed.problems == ()
    assert replayed.notes
    assert b"canary" not in path.read_bytes()
