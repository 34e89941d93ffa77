"""What the log says of a call: which call, which turn, and no words."""

import io
import json
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


def test_what_a_model_says_of_its_failure_is_not_logged_where_another_one_stands_in() -> None:
    failure = BackendUnavailable("llm", "It cannot be reached.", detail="The prompt was: call Rumpelstiltskin")
    world = World(
        llm=LlmScript(error=failure, fail_after_tokens=0), spares=Spares(llm=LlmScript(replies=["It is noon."]))
    )
    lines = logged(world)
    assert [line["kind"] for line in lines if line["event"] == "backend_failed_over"] == ["llm"]
    assert "Rumpelstiltskin" not in json.dumps(lines)
