"""Logs as events with fields: one JSON object a line.

    log = get_logger(__name__)
    with bound(call_id="c1"):
        log.info("turn_ended", turn=3, first_audio_ms=412, personal={"transcript": "..."})

What people say goes into `personal` only, and is dropped unless `log_personal` was switched on.
"""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

FOREIGN_LEVEL = logging.WARNING
"""Of other packages' loggers: below it, HTTP and gRPC clients write addresses and request bodies."""

GRPC_AIO = "grpc._cython.cygrpc"
UNTAKEN_STATUS = "ExecuteBatchError raised in core"
"""How grpc.aio begins, as an error with a traceback, to tell that a connection broke before a status was taken."""


class _Writer(structlog.WriteLogger):
    """Writes lines to a stream, and knows its name."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self.name = name


def configure_logs(
    level: str, *, service: str, stream: TextIO | None = None, as_json: bool = True, log_personal: bool = False
) -> None:
    """Set the logs of the whole process up.

    `level` is "debug", "info", "warning" or "error", in any case. Lines go to `stream`, or standard output.
    Raises ValueError for an unknown level.
    """
    number = _number(level)
    out = sys.stdout if stream is None else stream

    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    def personal(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        words = event.pop("personal", None)
        if words and log_personal:
            event.update(words)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
        personal,
        structlog.processors.format_exc_info,
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda name="": _Writer(out, name),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    handler.addFilter(_is_news)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, FOREIGN_LEVEL))
    _Level.name = level.lower()


def _is_news(record: logging.LogRecord) -> bool:
    """Everything but that a peer was gone before its call's end: that is not our fault, and known from the call."""
    return record.name != GRPC_AIO or not str(record.msg).startswith(UNTAKEN_STATUS)


class _Level:
    """That logs are written from."""

    name = ""


def set_log_level(level: str) -> str:
    """Change the level of the whole process while it runs, after `configure_logs`; also for loggers that were made
    before. Gives the level until now. Raises ValueError for an unknown level.
    """
    number = _number(level)
    before, _Level.name = _Level.name, level.lower()
    structlog.configure(
        **{**structlog.get_config(), "wrapper_class": structlog.make_filtering_bound_logger(number)},
    )
    logging.getLogger().setLevel(max(number, FOREIGN_LEVEL))
    return before


def _number(level: str) -> int:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level is {level!r}; allowed is debug, info, warning or error")
    return number


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that may be made before `configure_logs` is called."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


@contextmanager
def bound(**fields: Any) -> Generator[None]:
    """Add fields to every event logged inside, also by tasks started inside."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def rebind(**fields: Any) -> None:
    """Add or change fields for the rest of this task, and in tasks that it starts: what `bound` around it gave comes
    back when that ends.
    """
    structlog.contextvars.bind_contextvars(**fields)
