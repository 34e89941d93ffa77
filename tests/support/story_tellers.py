"""A story told by a gateway that has neighbours, and `voice say` as the caller who listens to it."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from processes import BIN, ROOT, Service, service

STORY = "Once upon a time there was a harbour. It was small, and it was very old. Ships came and went. That is the end."
SCRIPT: dict[str, dict[str, object]] = {
    "asr": {"transcripts": ["tell me a story", "thank you"]},
    "llm": {"replies": [STORY], "log_messages": True, "token_interval_ms": 1, "log_tokens": False},
    "tts": {"ms_per_character": 40},
}
QUESTIONS = ROOT / "services/clients/src/voice_clients/load/questions"
FILES = tuple(str(QUESTIONS / name) for name in ("tell-me-a-long-story.flac", "thank-you-very-much.flac"))
ASKED = [("user", "tell me a story"), ("assistant", STORY), ("user", "thank you")]
"""What the model is asked last, however the call went."""
KEYS = f"k1:{base64.b64encode(bytes(range(32))).decode()}\n"
LATE_MS = 1_200
"""The fake recogniser goes by its own clock, so what comes late may be two utterances to it, of which the first has no
words and uses up a transcript. A packet that was lost twice is late by half of this, and so is a caller on a busy
machine. The gateway asks for the end of what was said: nobody waits that long.
"""
SAID_S = 90.0
WRITTEN_S = 5.0


@dataclass(frozen=True)
class StoryTellers:
    """What the gateways need, and what the language model was asked."""

    fakes: Service
    log: Path
    keys: Path

    def backends(self, host: str = "127.0.0.1") -> tuple[str, str]:
        """Addresses of recogniser and voice, and of the language model."""
        return f"{host}:{self.fakes.ready['riva_port']}", f"http://{host}:{self.fakes.ready['llm_port']}/v1"

    def last_conversation(self) -> list[tuple[str, str]]:
        """What the model was asked last, without the system prompt. A call that ended as soon as it was answered is
        waited for: the fakes write their log twice a second.
        """
        until_s = time.monotonic() + WRITTEN_S
        while not (asked := self._conversations()):
            assert time.monotonic() < until_s, "the model was asked nothing"
            time.sleep(0.05)
        return [(role, text) for role, text in asked[-1] if role != "system"]

    def _conversations(self) -> list[list[tuple[str, str]]]:
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [item["conversation"] for item in entries if item.get("event") == "request" and "conversation" in item]


@contextmanager
def story_tellers(folder: Path, *, host: str = "127.0.0.1", entering: Sequence[str] = ()) -> Iterator[StoryTellers]:
    """Fakes that listen at `host`."""
    script, log, keys = folder / "script.yaml", folder / "log.jsonl", folder / "keys"
    asr = {**SCRIPT["asr"], "final_after_speech_end_ms": LATE_MS}
    script.write_text(yaml.safe_dump({**SCRIPT, "asr": asr}))
    keys.write_text(KEYS)
    listen = ("--riva", f"{host}:0", "--llm", f"{host}:0", "--script", str(script), "--log", str(log))
    with service("fakes", "voice-fakes", *listen, entering=entering) as fakes:
        yield StoryTellers(fakes, log, keys)


class Say:
    """`voice say`, which asks for a story and says thank you for it. Ends with the context."""

    def __init__(self, addresses: Sequence[str], out: Path, *options: str, entering: Sequence[str] = ()) -> None:
        to = [part for address in addresses for part in ("--address", address)]
        self._process = subprocess.Popen(
            [*entering, str(BIN / "voice"), "say", *FILES, *to, "--out", str(out), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        self._seen = b""

    def __enter__(self) -> "Say":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def until(self, words: str) -> None:
        """Until it has said that."""
        assert self._process.stdout is not None
        while words.encode() not in self._seen:
            more = os.read(self._process.stdout.fileno(), 65_536)
            assert more, self._seen
            self._seen += more

    def rest(self) -> str:
        """All that it said, when it has ended; fails where that was not well."""
        status, out, error = self.end()
        assert (status, error) == (0, ""), out
        return out

    def end(self) -> tuple[int, str, str]:
        """Its exit status, and all that it said and complained of, when it has ended."""
        rest, error = self._process.communicate(timeout=SAID_S)
        return self._process.returncode, (self._seen + rest).decode(), error.decode()
