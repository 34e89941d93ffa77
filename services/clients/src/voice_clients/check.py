"""`voice check`: are the gateways reachable, healthy, and what are their backends like?"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voice_clients.caller import CONNECT_TIMEOUT_S
from voice_clients.channel import Security, addresses_of, open_channel, until_connected
from voice_clients.errors import CallError, GatewayUnreachableError, NotAGatewayError, from_rpc_error
from voice_clients.plain_text import plain
from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

GATEWAY_SERVICE = "voice_workflow.VoiceGateway"
HEALTH_TIMEOUT_S = 5.0
BACKENDS_TIMEOUT_S = 30.0  # the gateway asks each backend; a cold one takes its time
CONSOLE_WIDTH = 100  # of a table that does not go to a terminal


@dataclass(frozen=True, slots=True)
class Backend:
    """How one backend is, as the gateway says."""

    kind: str
    configured: str
    ok: bool
    detail: str
    latency_ms: float
    available: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`health` is a status name of grpc.health.v1, or "no health service"."""

    target: str
    connect_ms: float
    health: str
    backends: tuple[Backend, ...] = field(default=())
    backends_error: str = ""

    @property
    def ok(self) -> bool:
        """Whether a call can be expected to work."""
        healthy = self.health in {"SERVING", "no health service"}
        return healthy and bool(self.backends) and all(backend.ok for backend in self.backends)


async def look(target: str, security: Security) -> CheckResult:
    """Look at a gateway. Raises GatewayUnreachableError or NotAGatewayError."""
    async with await open_channel(target, security) as channel:
        begun = time.perf_counter()
        await until_connected(channel, target, security, CONNECT_TIMEOUT_S)
        connect_ms = (time.perf_counter() - begun) * 1000
        health, metadata = await _health(channel, target), await security.metadata()
        stub = pb_grpc.VoiceGatewayStub(channel)
        try:
            response = await stub.CheckBackends(
                pb.CheckBackendsRequest(), timeout=BACKENDS_TIMEOUT_S, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error, target=target, started=False)
            if isinstance(failure, NotAGatewayError) and health != "no health service":
                return CheckResult(target, connect_ms, health, backends_error="the gateway cannot tell (older version)")
            if isinstance(failure, NotAGatewayError | GatewayUnreachableError):
                raise failure from error
            return CheckResult(target, connect_ms, health, backends_error=str(failure))
    backends = tuple(
        Backend(
            plain(item.kind),
            plain(item.configured),
            item.ok,
            plain(item.detail),
            item.latency_ms,
            tuple(plain(name) for name in item.available),
        )
        for item in response.backends
    )
    return CheckResult(target, connect_ms, health, backends)


async def _health(channel: grpc.aio.Channel, target: str) -> str:
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        response = await stub.Check(health_pb2.HealthCheckRequest(service=GATEWAY_SERVICE), timeout=HEALTH_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}:
            return "no health service"
        failure = from_rpc_error(error, target=target, started=False)
        if isinstance(failure, GatewayUnreachableError):
            raise failure from error
        return error.code().name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


async def check(targets: Sequence[str], security: Security, *, as_json: bool) -> int:
    """Look at each gateway and tell. Returns the exit status of the worst: 0 where all is well, 1 where not, 3 where it
    could not be reached.
    """
    found = [address for target in targets for address in await addresses_of(target)]
    statuses = [
        await _check_one(
            address.target,
            replace(security, server_name=security.server_name or address.name),
            as_json=as_json,
            alone=len(found) == 1,
        )
        for address in found
    ]
    return max(statuses)


async def _check_one(target: str, security: Security, *, as_json: bool, alone: bool) -> int:
    """Raises CallError where it is the only one and is told in words."""
    try:
        result = await look(target, security)
    except CallError as error:
        if as_json:
            problem = {"ok": False, "target": target, "error": str(error)}
            print(json.dumps(problem, ensure_ascii=False), flush=True)  # noqa: T201 - the output
        elif alone:
            raise
        else:
            Console(highlight=False).print(f"gateway   {error}", markup=False, style="red")
        return error.exit_code
    if as_json:
        print(json.dumps({"ok": result.ok, **asdict(result)}, ensure_ascii=False), flush=True)  # noqa: T201 - the output
    else:
        _tell(result)
    return 0 if result.ok else 1


def _tell(result: CheckResult) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=CONSOLE_WIDTH)
    console.print(f"gateway   {result.target}: reachable ({result.connect_ms:.0f} ms)", markup=False)
    console.print(f"health    {result.health}", style=None if result.health == "SERVING" else "yellow")
    if result.backends_error:
        console.print(f"backends  {result.backends_error}", markup=False, style="red")
    elif not result.backends:
        console.print("backends  the gateway names none", style="red")
    else:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("backend", "configured", "state", "latency", "detail"):
            table.add_column(heading)
        for item in result.backends:
            state = Text("ok", style="green") if item.ok else Text("failed", style="red")
            told = (item.kind, item.configured or "(its default)", state, f"{item.latency_ms:.0f} ms", item.detail)
            # In a plain string, what stands between brackets would be taken for markup.
            table.add_row(*(each if isinstance(each, Text) else Text(each) for each in told))
        console.print(table)
        for item in result.backends:
            if not item.ok and item.available:
                console.print(f"{item.kind} offers: {', '.join(item.available)}", markup=False)
    console.print("all is well" if result.ok else "not ready for calls", style="green" if result.ok else "red")
