"""What the log says and what it keeps to itself."""

import asyncio
import io
import json
import logging
from typing import Any

import pytest

from servicekit.logs import bound, configure_logs, get_logger, rebind, set_log_level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_with_its_fields() -> None:
    early = get_logger("made.before")
    out = io.StringIO()
    configure_logs("INFO", service="gateway", stream=out)
    with bound(call_id="c1"), bound(turn=2):
        early.info("turn_ended", outcome="answered")
    early.debug("hidden")
    early.info("after")
    first, second = lines(out)
    assert first.items() >= {
        ("event", "turn_ended"), ("call_id", "c1"), ("turn", 2), ("outcome", "answered"),
        ("service", "gateway"), ("logger", "made.before"), ("level", "info"),
    }  # fmt: skip
    assert first["timestamp"].endswith("Z")
    assert "call_id" not in second


def test_bound_fields_follow_tasks() -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out)
    log = get_logger("x")

    async def call(name: str) -> None:
        with bound(call_id=name):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(turn())

    async def turn() -> None:
        await asyncio.sleep(0)
        log.info("turn")

    async def both() -> None:
        await asyncio.gather(call("a"), call("b"))

    asyncio.run(both())
    assert [line["call_id"] for line in lines(out)] == ["a", "b"]


def test_a_field_may_change_until_what_bound_it_ends() -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out)
    log = get_logger("x")
    with bound(call_id="stream-7"):
        rebind(call_id="call-1")
        log.info("resumed")
    log.info("after")
    told, after = lines(out)
    assert told["call_id"] == "call-1"
    assert "call_id" not in after


def test_a_peer_that_was_gone_before_its_status_is_no_fault() -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out)
    grpc_log = logging.getLogger("grpc._cython.cygrpc")
    grpc_log.error("ExecuteBatchError raised in core by servicer method [%s]", "/x")
    grpc_log.error("something else of [%s]", "/x")
    assert [line["event"] for line in lines(out)] == ["something else of [/x]"]


@pytest.mark.parametrize("switched_on", [False, True])
def test_words_are_written_only_when_switched_on(switched_on: bool) -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out, log_personal=switched_on)
    get_logger("x").info("heard", characters=5, personal={"text": "hello"})
    (line,) = lines(out)
    assert line["characters"] == 5
    assert ("hello" in out.getvalue()) is switched_on
    assert "personal" not in line


def test_other_packages_are_heard_from_warning_on() -> None:
    out = io.StringIO()
    configure_logs("debug", service="s", stream=out)
    logging.getLogger("httpx").info("POST with a body")
    logging.getLogger("httpx").warning("slow %s", "server")
    (line,) = lines(out)
    assert (line["event"], line["logger"], line["service"]) == ("slow server", "httpx", "s")


def test_an_error_carries_its_traceback_without_values() -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out)
    secret = "value of a local"
    try:
        raise ValueError("wrong")
    except ValueError as error:
        get_logger("x").error("failed", exc_info=error)
    (line,) = lines(out)
    assert "ValueError: wrong" in line["exception"]
    assert line["exception"].count(secret) <= 1, "the source line only"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="log level is 'loud'; allowed is debug, info, warning or error"):
        configure_logs("loud", service="s")


def test_the_level_changes_for_loggers_that_are_there_already() -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out)
    log = get_logger("x")
    log.debug("hidden")
    assert set_log_level("debug") == "info"
    log.debug("shown")
    assert set_log_level("ERROR") == "debug"
    log.warning("hidden")
    logging.getLogger("httpx").warning("hidden")
    assert set_log_level("warning") == "error"
    logging.getLogger("httpx").warning("shown")
    assert [line["event"] for line in lines(out)] == ["shown", "shown"]


def test_an_unknown_level_changes_nothing() -> None:
    out = io.StringIO()
    configure_logs("info", service="s", stream=out)
    with pytest.raises(ValueError, match="allowed is debug, info, warning or error"):
        set_log_level("loud")
    get_logger("x").info("shown")
    assert len(lines(out)) == 1
