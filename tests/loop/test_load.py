"""`voice load` against the real gateway and the fakes, all of them processes: short, and with interruptions."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import BIN, gateway_for, service

pytestmark = [pytest.mark.edge, pytest.mark.timeout(120)]

SCRIPT = """
asr: {transcripts: [what time is it], final_after_speech_end_ms: 300}
llm: {replies: ["It is noon in the whole of this country and the sun is as high as it will be on any day."]}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    """Address of a gateway whose backends are fakes."""
    script = tmp_path / "script.yaml"
    script.write_text(SCRIPT)
    listen = ("--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0", "--script", str(script))
    with service("fakes", "voice-fakes", *listen) as fakes:
        riva, llm = fakes.ready["riva_port"], fakes.ready["llm_port"]
        with gateway_for(f"127.0.0.1:{riva}", f"http://127.0.0.1:{llm}/v1") as running:
            yield running.address


def test_callers_are_answered_and_interrupt(gateway: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(str(BIN / "voice"), "load", gateway, "--users", "3", "--duration", "8", "--interrupt", "0.7"),
            *("--turns", "3", "--report", str(tmp_path), "--fail-over", "error_share=0", "--max-lag-ms", "1000"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    turns = report["turns"]
    assert turns["answered"] == turns["spoken"] >= 6
    assert turns["interruptions_obeyed"] == turns["interrupting"] > 0
    assert report["barge_in_ms"]["count"] == turns["interrupting"]
    assert report["calls"]["ended_well"] == report["calls"]["dialled"] >= 3
    assert {"endpoint", "llm_first_token", "first_audio_sent"} <= {stage["stage"] for stage in report["stages"]}
