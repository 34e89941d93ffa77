"""What the log says of a call: which call, which turn, and no words."""

import asyncio
import io
import json
from contextlib import suppress
from typing import Any

from servicekit.logs import bound, configure_logs
from servicekit.testing import run_virtual
from voice_gateway.application.messages import EventKind, TextIn
from voice_gateway.domain.errors import BackendUnavailable
from voice_gateway.testing.backends import AsrScript, LlmScript
from voice_gateway.testing.spares import Spares
from voice_gateway.testing.world import World


def logged(world: World, *texts: str) -> list[dict[str, Any]]:
    """The log of a call with one spoken turn, and then these typed ones."""
    out = io.StringIO()
    configure_logs("debug", service="gateway", stream=out)

    async def scenario() -> None:
        with bound(call_id="call-1"):
            async with world.call() as caller:
                await caller.speak(1000)
                await caller.listen_for(EventKind.END_OF_TURN)
                for number, text in enumerate(texts, start=2):
                    await caller.send(TextIn(text))
                    await caller.listen_for(EventKind.END_OF_TURN, count=number)

    run_virtual(scenario())
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_of_a_turn_name_the_call_and_the_turn() -> None:
    failure = BackendUnavailable("llm", "It cannot be reached.", detail="The prompt was: call Rumpelstiltskin")
    world = World(
        asr=AsrScript(transcripts=["call Rumpelstiltskin"], break_after_ms=[300]),
        llm=LlmScript(error=failure, fail_after_tokens=0),
    )
    lines = logged(world, "Where is Rumpelstiltskin?")
    assert {line["call_id"] for line in lines} == {"call-1"}
    failed = {(line["kind"], line["turn"]) for line in lines if line["event"] == "backend_failed"}
    assert failed == {("asr", 1), ("llm", 1), ("llm", 2)}
    assert [line["turn"] for line in lines if line["event"] == "turn_ended"] == [1, 2]
    assert "Rumpelstiltskin" not in json.dumps(lines)
    assert "trace_id" not in lines[0]


def test_a_turn_that_the_caller_hangs_up_on_is_told_of_too() -> None:
    """Most calls end so: without it the turns of impatient callers would be in no metric, log or trace."""
    out = io.StringIO()
    configure_logs("info", service="gateway", stream=out)
    world = World()

    async def scenario() -> None:
        with suppress(asyncio.CancelledError):
            async with world.call() as caller:
                await caller.speak(1000)
                await caller.listen_for(EventKind.SPEAKING)
                await caller.silence(100)
                caller.running.cancel()
                await asyncio.wait((caller.running,))

    run_virtual(scenario())
    (report,) = world.telemetry.reports
    assert (report.turn, report.outcome) == (1, "cut_off")
    assert report.stage("first_audio_sent") is not None
    assert report.heard_samples > 0
    (line,) = [line for line in map(json.loads, out.getvalue().splitlines()) if line["event"] == "turn_ended"]
    assert (line["turn"], line["outcome"]) == (1, "cut_off")


def test_a_turn_that_was_over_is_not_told_of_again_when_the_caller_hangs_up() -> None:
    world = World()

    async def scenario() -> None:
        with suppress(asyncio.CancelledError):
            async with world.call() as caller:
                await caller.speak(1000)
                await caller.listen_for(EventKind.END_OF_TURN)
                await caller.speak(500)
                caller.running.cancel()
                await asyncio.wait((caller.running,))

    run_virtual(scenario())
    assert [report.outcome for report in world.telemetry.reports] == ["answered"]


def test_what_a_model_says_of_its_failure_is_not_logged_where_another_one_stands_in() -> None:
    failure = BackendUnavailable("llm", "It cannot be reached.", detail="The prompt was: call Rumpelstiltskin")
    world = World(
        llm=LlmScript(error=failure, fail_after_tokens=0), spares=Spares(llm=LlmScript(replies=["It is noon."]))
    )
    lines = logged(world)
    assert [line["kind"] for line in lines if line["event"] == "backend_failed_over"] == ["llm"]
    assert "Rumpelstiltskin" not in json.dumps(lines)
