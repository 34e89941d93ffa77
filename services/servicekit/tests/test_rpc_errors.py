"""The error interceptor on real gRPC: every shape and style of handler."""

import asyncio
import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from servicekit.logs import configure_logs
from servicekit.rpc_errors import MESSAGE_BUDGET_BYTES, ErrorInterceptor, RpcStatus, fitting, leaf_errors, raised_at

pytestmark = pytest.mark.edge

SECRET = "the internal text"


class Busy(Exception):
    """Known to the mapping below."""


def to_status(error: BaseException) -> RpcStatus | None:
    if isinstance(error, Busy):
        return RpcStatus(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "all lines are busy", "BUSY", True, 1_500, {"calls": "3"}, "for the log"
        )
    return None


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("unhandled errors in a TaskGroup", errors)


async def fails(make: Callable[[], BaseException]) -> None:
    await asyncio.sleep(0)
    raise make()


class Handlers:
    """One handler of each shape and style, all failing the same way."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        self.make = make

    async def uu(self, request: bytes, context: Any) -> bytes:
        await fails(self.make)
        return b""

    async def us(self, request: bytes, context: Any) -> None:
        await context.write(b"1")
        await fails(self.make)

    async def us_generator(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        await fails(self.make)

    async def su(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for _ in requests:
            await fails(self.make)
        return b""

    async def ss(self, requests: AsyncIterator[bytes], context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            await context.write(b"1")
            await fails(self.make)

    async def ss_generator(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield b"1"
            await fails(self.make)

    def handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "test.Test",
            {
                "uu": grpc.unary_unary_rpc_method_handler(self.uu),
                "us": grpc.unary_stream_rpc_method_handler(self.us),
                "us_generator": grpc.unary_stream_rpc_method_handler(self.us_generator),
                "su": grpc.stream_unary_rpc_method_handler(self.su),
                "ss": grpc.stream_stream_rpc_method_handler(self.ss),
                "ss_generator": grpc.stream_stream_rpc_method_handler(self.ss_generator),
            },
        )


SHAPES = ["uu", "us", "us_generator", "su", "ss", "ss_generator"]


@asynccontextmanager
async def served(handlers: Handlers, tmp_path: Path) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor(to_status, domain="test.example")])
    server.add_generic_rpc_handlers((handlers.handlers(),))
    address = f"unix:{tmp_path}/s"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield channel
    finally:
        await server.stop(0)


def start(channel: Any, shape: str) -> Any:
    method = f"/test.Test/{shape}"
    match shape[:2]:
        case "uu":
            return channel.unary_unary(method)(b"", timeout=20)
        case "us":
            return channel.unary_stream(method)(b"", timeout=20)
        case "su":
            return channel.stream_unary(method)(iter([b"1"]), timeout=20)
        case _:
            return channel.stream_stream(method)(iter([b"1"]), timeout=20)


async def failure(channel: Any, shape: str) -> grpc.aio.AioRpcError:
    call = start(channel, shape)

    async def whole_answer() -> Any:
        return await call if shape[1] == "u" else [message async for message in call]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await whole_answer()
    return caught.value


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [Busy, lambda: group(group(Busy()), ValueError(SECRET))], ids=["plain", "group"])
async def test_a_known_error_carries_its_details(shape: str, make: Callable[[], BaseException], tmp_path: Path) -> None:
    async with served(Handlers(make), tmp_path) as channel:
        error = await failure(channel, shape)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "all lines are busy"
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("BUSY", "test.example")
    assert dict(info.metadata) == {"retryable": "true", "calls": "3"}
    assert retry.retry_delay.ToMilliseconds() == 1_500


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_unknown_error_says_nothing_of_itself(shape: str, tmp_path: Path) -> None:
    out = io.StringIO()
    configure_logs("info", service="test", stream=out)
    async with served(Handlers(lambda: ValueError(SECRET)), tmp_path) as channel:
        error = await failure(channel, shape)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    assert SECRET not in repr(error.trailing_metadata())
    (line,) = [json.loads(line) for line in out.getvalue().splitlines()]
    assert line["event"] == "rpc_internal_error"
    assert line["method"] == f"/test.Test/{shape}"
    assert "test_rpc_errors.py" in line["exception"]
    assert line["exception"].endswith("ValueError\n")
    assert SECRET not in out.getvalue(), "it may quote what a caller said"


def test_causes_are_told_before_what_they_led_to() -> None:
    def fails() -> None:
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise ValueError("effect") from cause

    try:
        fails()
    except ValueError as error:
        told = raised_at(ExceptionGroup("both", [error, OSError("alone")]))
    assert [line for line in told.splitlines() if not line.startswith(" ")] == ["KeyError", "ValueError", "OSError"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_cancellation_that_nobody_asked_for_is_answered(shape: str, tmp_path: Path) -> None:
    async with served(Handlers(asyncio.CancelledError), tmp_path) as channel:
        error = await failure(channel, shape)
    assert error.code() is grpc.StatusCode.INTERNAL


async def in_task_group(error: BaseException) -> None:
    """Fail as structured code does: the group is being left when its child fails."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fails(lambda: error))


class Grouped(Handlers):
    async def uu(self, request: bytes, context: Any) -> bytes:
        await in_task_group(self.make())
        return b""

    async def us_generator(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        await in_task_group(self.make())


@pytest.mark.parametrize("shape", ["uu", "us_generator"])
async def test_a_real_task_group_that_fails_is_answered(shape: str, tmp_path: Path) -> None:
    async with served(Grouped(Busy), tmp_path) as channel:
        error = await failure(channel, shape)
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "all lines are busy")


class Aborting(Handlers):
    async def uu(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return b""

    async def us(self, request: bytes, context: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(context.abort(grpc.StatusCode.NOT_FOUND, "no such thing"))


@pytest.mark.parametrize("shape", ["uu", "us"])
async def test_a_handlers_own_abort_passes_through(shape: str, tmp_path: Path) -> None:
    async with served(Aborting(Busy), tmp_path) as channel:
        error = await failure(channel, shape)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")


class Waiting(Handlers):
    """Waits until it is cancelled, and then fails in its own way."""

    def __init__(self, at_end: Callable[[], BaseException] | None) -> None:
        super().__init__(Busy)
        self.at_end = at_end
        self.started = asyncio.Event()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        self.started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.Event().wait())
        finally:
            task = asyncio.current_task()
            assert task is not None
            self.ended.set_result(task.cancelling())
            if self.at_end is not None:
                raise self.at_end()

    async def uu(self, request: bytes, context: Any) -> bytes:
        await self.wait()
        return b""

    async def us_generator(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        await self.wait()


@pytest.mark.parametrize("shape", ["uu", "us_generator"])
@pytest.mark.parametrize("at_end", [None, lambda: ValueError(SECRET)], ids=["clean", "fails at the end"])
async def test_a_real_cancellation_reaches_the_handler(
    shape: str, at_end: Callable[[], BaseException] | None, tmp_path: Path
) -> None:
    handlers = Waiting(at_end)
    async with served(handlers, tmp_path) as channel:
        call = start(channel, shape)
        await handlers.started.wait()
        call.cancel()
        assert await asyncio.wait_for(handlers.ended, 20) == 1


class Echo(Handlers):
    async def uu(self, request: bytes, context: Any) -> bytes:
        return request

    async def us(self, request: bytes, context: Any) -> None:
        await context.write(b"1")
        await context.write(b"2")

    async def ss_generator(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


async def test_what_succeeds_is_left_alone(tmp_path: Path) -> None:
    async with served(Echo(Busy), tmp_path) as channel:
        assert await channel.unary_unary("/test.Test/uu")(b"hello") == b"hello"
        assert [m async for m in channel.unary_stream("/test.Test/us")(b"")] == [b"1", b"2"]
        assert [m async for m in channel.stream_stream("/test.Test/ss_generator")(iter([b"a", b"b"]))] == [b"a", b"b"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/missing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


class Flooding(Handlers):
    """Writes until the caller's window is full, and then fails."""

    def __init__(self) -> None:
        super().__init__(Busy)
        self.task: asyncio.Task[Any] | None = None

    async def us(self, request: bytes, context: Any) -> None:
        self.task = asyncio.current_task()
        try:
            async with asyncio.timeout(0.2):
                while True:
                    await context.write(b"x" * 65_536)
        except TimeoutError:
            raise Busy from None


async def test_a_caller_who_does_not_read_holds_no_handler(tmp_path: Path) -> None:
    handlers = Flooding()
    async with served(handlers, tmp_path) as channel:
        call = start(channel, "us")
        assert await call.read()
        assert handlers.task is not None
        await asyncio.wait({handlers.task}, timeout=20)
        assert handlers.task.done()

        async def rest() -> None:
            while await call.read() is not grpc.aio.EOF:
                pass

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest()
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "all lines are busy")


class Threaded(Handlers):
    def uu(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return request


async def test_a_handler_that_is_not_async_is_refused(tmp_path: Path) -> None:
    async with served(Threaded(Busy), tmp_path) as channel:
        error = await failure(channel, "uu")
    assert error.code() is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("character", ["a", "%", "é", "न", "🙂"])
async def test_a_long_message_still_fits_into_a_status(tmp_path: Path, character: str) -> None:
    def long(error: BaseException) -> RpcStatus:
        return RpcStatus(grpc.StatusCode.INVALID_ARGUMENT, character * 100_000, "LONG")

    server = grpc.aio.server(interceptors=[ErrorInterceptor(long, domain="test.example")])
    server.add_generic_rpc_handlers((Handlers(Busy).handlers(),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        # Headers over gRPC's soft limit are refused at random: a few dozen answers tell.
        errors = [await failure(channel, "uu") for _ in range(40)]
    await server.stop(0)
    assert {error.code() for error in errors} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert all(set(error.details() or "") == {character} for error in errors)


@given(st.text(max_size=3_000))
def test_what_a_message_takes_of_the_headers_is_bounded(message: str) -> None:
    kept = fitting(message)
    assert message.startswith(kept)
    encoded = kept.encode("utf-8", "replace")
    percent = len(quote(encoded, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"))
    assert percent + len(b64encode(encoded)) <= MESSAGE_BUDGET_BYTES + 4
    if len(message) <= 1_000 and message.isascii() and message.isprintable() and "%" not in message:
        assert kept == message


def test_leaves_of_nested_groups_come_in_order() -> None:
    first, second, third = ValueError(), TypeError(), KeyError()
    assert list(leaf_errors(group(first, group(second, group(third))))) == [first, second, third]
    assert list(leaf_errors(first)) == [first]
