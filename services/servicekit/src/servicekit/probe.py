"""`python -m servicekit.probe TARGET...`: whether a service of this container is healthy. For HEALTHCHECK of docker and
compose; it needs no shell. Kubernetes asks by itself, with native probes.

A target is host:port (gRPC health), an http:// address (a GET that must answer 2xx), or the name of an environment
variable that holds host:port, which is what a service listens on. The first target that is not empty is asked.
"""

import argparse
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from servicekit.addresses import split_address

EXIT_UNHEALTHY = 1
EXIT_BAD_TARGET = 2

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what a service listens on is not what a client dials
_WITHOUT_PROXY = [("grpc.enable_http_proxy", 0)]  # the service is on this machine


def chosen(targets: Sequence[str], environ: Mapping[str, str]) -> str:
    """An address to ask: host:port or http://... Raises ValueError with a sentence."""
    for target in targets:
        value = environ.get(target, "") if target.isidentifier() else target
        if value.startswith("http://"):
            return value
        if value:
            try:
                host, port = split_address(value)
            except ValueError as error:
                raise ValueError(f"{target} is {value!r}; {error}, or an http:// address.") from None
            host = _ANY_HOST.get(host, host)
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    raise ValueError(f"Nothing to ask: {', '.join(targets)} is empty or not set.")


def ask(address: str, *, service: str, timeout_s: float) -> str:
    """Empty when healthy, else a sentence that says why not. Takes `timeout_s` at most."""
    return _http(address, timeout_s) if address.startswith("http://") else _grpc(address, service, timeout_s)


def _grpc(address: str, service: str, timeout_s: float) -> str:
    import grpc  # noqa: PLC0415 - a tenth of a second that an HTTP target needs not
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    with grpc.insecure_channel(address, options=_WITHOUT_PROXY) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.code().name}, {error.details()}"
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if name == "SERVING" else f"{address} is {name}"


def _http(address: str, timeout_s: float) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=timeout_s):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"{address} answers {error.code}"
    except OSError as error:
        return f"{address} does not answer: {getattr(error, 'reason', error)}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m servicekit.probe", description="Exit 0 if healthy, 1 if not.")
    parser.add_argument(
        "target", nargs="+", help="host:port, http:// address, or a variable that holds host:port; the first set one"
    )
    parser.add_argument("--service", default="", help="name of a gRPC health service; without it the whole server")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="default 2")
    given = parser.parse_args(arguments)
    try:
        address = chosen(given.target, os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who wrote the health check
        return EXIT_BAD_TARGET
    problem = ask(address, service=given.service, timeout_s=given.timeout)
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201 - container engines keep it with the state
    return EXIT_UNHEALTHY if problem else 0


if __name__ == "__main__":
    sys.exit(main())
