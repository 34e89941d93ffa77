"""Scriptable Riva and OpenAI-compatible servers with exact delays, stalls and faults."""

from voice_fakes.llm import FakeLlm
from voice_fakes.log import Event, EventLog, now_ms
from voice_fakes.riva import FakeRiva
from voice_fakes.script import Script, ScriptError, parse_script, read_script
from voice_fakes.server import FakesOptions, RunningFakes, serving_fakes

__all__ = [
    "Event",
    "EventLog",
    "FakeLlm",
    "FakeRiva",
    "FakesOptions",
    "RunningFakes",
    "Script",
    "ScriptError",
    "now_ms",
    "parse_script",
    "read_script",
    "serving_fakes",
]
