"""`voice say` and `voice load` against two gateway processes of which one is killed, frozen or told to go."""

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from processes import BIN, ROOT, Service, gateway_for, service

pytestmark = [pytest.mark.edge, pytest.mark.timeout(150), pytest.mark.xdist_group("loop")]

STORY = "Once upon a time there was a harbour. It was small, and it was very old. Ships came and went. That is the end."
SCRIPT = {
    "asr": {"transcripts": ["tell me a story", "thank you"], "final_after_speech_end_ms": 200},
    "llm": {"replies": [STORY], "log_messages": True, "token_interval_ms": 1, "log_tokens": False},
    "tts": {"ms_per_character": 40},
}
QUESTIONS = ROOT / "services/clients/src/voice_clients/load/questions"


@dataclass
class Two:
    """Gateways with one file of keys, and what the language model was asked."""

    gateways: list[Service]
    log: Path

    @property
    def addresses(self) -> list[str]:
        """As options."""
        return [part for gateway in self.gateways for part in ("--address", gateway.address)]

    def last_conversation(self) -> list[tuple[str, str]]:
        """What the model was asked last, without the system prompt."""
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        asked = [item["conversation"] for item in entries if item.get("event") == "request" and "conversation" in item]
        return [(role, text) for role, text in asked[-1] if role != "system"]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    script, log, keys = tmp_path / "script.yaml", tmp_path / "log.jsonl", tmp_path / "keys"
    script.write_text(yaml.safe_dump(SCRIPT))
    keys.write_text(f"k1:{base64.b64encode(bytes(range(32))).decode()}\n")
    listen = ("--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0", "--script", str(script), "--log", str(log))
    with ExitStack() as stack:
        fakes = stack.enter_context(service("fakes", "voice-fakes", *listen))
        riva, llm = f"127.0.0.1:{fakes.ready['riva_port']}", f"http://127.0.0.1:{fakes.ready['llm_port']}/v1"
        environ = {"RESUME_KEYS_FILE": str(keys), "DRAIN_RESUMABLE_SECONDS": "0.2"}
        yield Two([stack.enter_context(gateway_for(riva, llm, **environ)) for _ in range(2)], log)


@pytest.mark.parametrize(
    ("how", "cause"), [(signal.SIGKILL, "reset"), (signal.SIGSTOP, "silence"), (signal.SIGTERM, "go away")]
)
def test_say_repeats_nothing_and_the_history_holds_the_turn_once(
    two: Two, tmp_path: Path, how: signal.Signals, cause: str
) -> None:
    files = [str(QUESTIONS / name) for name in ("tell-me-a-long-story.flac", "thank-you-very-much.flac")]
    say = subprocess.Popen(
        [str(BIN / "voice"), "say", *files, *two.addresses, "--timings", "off", "--out", str(tmp_path / "answer.wav")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    first = two.gateways[0].process
    try:
        assert say.stdout is not None
        seen = b""
        while b"assistant:" not in seen:  # some four seconds of it follow
            more = os.read(say.stdout.fileno(), 65_536)
            assert more, seen
            seen += more
        first.send_signal(how)
        rest, err = say.communicate(timeout=90)
    finally:
        if say.poll() is None:
            say.kill()
            say.communicate()
        if how == signal.SIGSTOP:
            first.kill()
            first.send_signal(signal.SIGCONT)
            first.wait()
    out = (seen + rest).decode()
    assert (say.returncode, err.decode()) == (0, "")
    assert out.count("resuming ...") == 1
    assert f"({cause})" in out
    assert out.count("you: tell me a story") == 1
    assert two.last_conversation() == [("user", "tell me a story"), ("assistant", STORY), ("user", "thank you")]
