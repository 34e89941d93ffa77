"""A configuration that changes while the gateway runs."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_mount import Mounted

from servicekit.settings import SettingsError
from voice_gateway.adapters.config_file import POLL_S, FileConfigSource, StaticConfigSource
from voice_gateway.application.config import CallConfig
from voice_gateway.settings import load, to_call_config


class Followed:
    """A mounted ConfigMap, followed by a source on a clock of its own."""

    def __init__(self, folder: Path, **keys: str) -> None:
        self.folder = folder
        self.now_s = 0.0
        self.results: list[str] = []
        self._mounted = Mounted(folder, _encoded(keys))
        self.source = FileConfigSource(
            folder, self.load, initial=self.load(), on_reload=self.results.append, now_s=lambda: self.now_s
        )
        self.loads = 0

    def load(self) -> CallConfig:
        self.loads = getattr(self, "loads", 0) + 1
        return to_call_config(load(environ={"TTS_VOICE": "of the environment"}, file=self.folder))

    def edit(self, **keys: str) -> None:
        """A new revision: all files at once, by one rename."""
        self._mounted.swap(_encoded(keys))

    def later(self) -> CallConfig:
        self.now_s += POLL_S
        return self.source.current()


def _encoded(keys: dict[str, str]) -> dict[str, bytes]:
    return {key: value.encode() for key, value in keys.items()}


def test_an_edit_is_seen_within_a_second(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7", LLM_MODEL="a")
    first = mounted.source.current()
    assert (first.llm.temperature, first.llm.model, first.tts.voice) == (0.7, "a", "of the environment")
    mounted.edit(LLM_TEMPERATURE="0.2", LLM_MODEL="b")
    assert mounted.source.current() is first
    second = mounted.later()
    assert (second.llm.temperature, second.llm.model) == (0.2, "b")
    assert second.revision != first.revision
    assert mounted.results == ["applied"]


def test_a_bad_edit_is_refused_and_the_last_good_one_stays(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7")
    good = mounted.source.current()
    mounted.edit(LLM_TEMPERATURE="hot")
    assert [mounted.later(), mounted.later()] == [good, good]
    mounted.edit(LLM_TEMPERATUR="0.7")
    assert mounted.later() is good
    mounted.edit(LLM_TEMPERATURE="0.1")
    assert mounted.later().llm.temperature == 0.1
    assert mounted.results == ["refused", "refused", "applied"]


def test_a_key_that_was_taken_out_falls_back(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7", TTS_VOICE="Aria")
    assert mounted.source.current().tts.voice == "Aria"
    mounted.edit(LLM_TEMPERATURE="0.7")
    assert mounted.later().tts.voice == "of the environment"


def test_an_edit_that_changes_nothing_keeps_the_revision(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7")
    first = mounted.source.current()
    mounted.edit(LLM_TEMPERATURE="0.70")
    assert mounted.later() is first
    assert mounted.results == ["unchanged"]


def test_nothing_is_read_while_nothing_changes(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7")
    before = mounted.loads
    for _ in range(5):
        mounted.later()
    assert mounted.loads == before


def rewritten(file: Path, content: str) -> None:
    """As editors write: a new file takes the name."""
    fresh = file.with_suffix(".new")
    fresh.write_text(content)
    fresh.replace(file)


def overwritten(file: Path, content: str) -> None:
    stamp = file.stat().st_mtime_ns + 1_000_000_000
    file.write_text(content)
    os.utime(file, ns=(stamp, stamp))


@pytest.mark.parametrize("write", [rewritten, overwritten])
def test_a_file_is_followed_too(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("LLM_TEMPERATURE: 0.7\n")
    now_s = 0.0

    def read() -> CallConfig:
        return to_call_config(load(environ={}, file=file))

    source = FileConfigSource(file, read, initial=read(), now_s=lambda: now_s)
    write(file, 'LLM_TEMPERATURE: "0.9"\n')
    now_s += POLL_S
    assert source.current().llm.temperature == 0.9
    file.unlink()
    now_s += POLL_S
    assert source.current().llm.temperature == 0.9


def test_a_static_source_stays() -> None:
    config = CallConfig()
    assert StaticConfigSource(config).current() is config


def test_an_edit_during_the_start_is_taken(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7")
    early = mounted.source.current()
    mounted.edit(LLM_TEMPERATURE="0.2")
    source = FileConfigSource(tmp_path, mounted.load, initial=early, on_reload=mounted.results.append)
    source.catch_up()
    assert source.current().llm.temperature == 0.2
    source.catch_up()
    assert mounted.results == ["applied"]


def test_one_revision_is_read_even_while_another_comes(tmp_path: Path) -> None:
    """Links to single files lead to the next revision from one moment to the other; what "..data" led to does not."""
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7", LLM_MODEL="a")
    mounted.edit(LLM_TEMPERATURE="0.2", LLM_MODEL="b")
    (tmp_path / "LLM_MODEL").unlink()
    (tmp_path / "LLM_MODEL").write_text("c")
    taken = mounted.later()
    assert (taken.llm.temperature, taken.llm.model) == (0.2, "b")


def test_a_revision_that_goes_while_it_is_read_is_no_refusal(tmp_path: Path) -> None:
    """The kubelet deletes a revision as soon as the next one is there."""
    mounted = Followed(tmp_path, LLM_MODEL="a")
    results: list[str] = []

    def load_late() -> CallConfig:
        if not results and mounted.loads < 2:
            mounted.loads = 2
            mounted.edit(LLM_MODEL="c")
            raise SettingsError(["LLM_MODEL can't be read: No such file or directory."])
        return mounted.load()

    source = FileConfigSource(
        tmp_path, load_late, initial=mounted.load(), on_reload=results.append, now_s=lambda: mounted.now_s
    )
    mounted.loads = 0
    mounted.edit(LLM_MODEL="b")
    mounted.now_s += POLL_S
    source.current()
    assert results == []
    assert source.history.refusal is None
    mounted.now_s += POLL_S
    assert source.current().llm.model == "c"
    assert results == ["applied"]


def test_what_became_of_edits_is_kept(tmp_path: Path) -> None:
    mounted = Followed(tmp_path, LLM_TEMPERATURE="0.7")
    assert mounted.source.history.refusal is None
    mounted.edit(LLM_TEMPERATURE="hot")
    mounted.later()
    history = replace(mounted.source.history)
    assert history.refused
    assert history.refusal is not None
    (problem,) = history.refusal.problems
    assert problem.startswith("LLM_TEMPERATURE is 'hot'")
    mounted.edit(LLM_TEMPERATURE="0.7")
    mounted.later()
    assert not mounted.source.history.refused, "the source holds what is in force again"
    assert mounted.source.history.refusal == history.refusal, "the last refusal is still told"
