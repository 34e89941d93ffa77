"""A gateway process whose calls are passed through. Takes the gateway's own settings from the environment."""

import os
import sys

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.passthrough import PassThroughRunner
from servicekit.lifecycle import catch_signals, run
from servicekit.logs import configure_logs, get_logger
from voice_gateway.adapters.backend_selection import OneOfEach
from voice_gateway.adapters.config_file import StaticConfigSource
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.application.clock import MonotonicClock
from voice_gateway.server import connected, serving
from voice_gateway.settings import load, to_call_config

log = get_logger(__name__)


async def serve() -> int:
    """Serve until signalled."""
    signalled = catch_signals()
    settings = load(environ=os.environ, file=None)
    telemetry = PrometheusTelemetry()
    config = StaticConfigSource(to_call_config(settings))
    async with connected(settings, config, MonotonicClock(), telemetry) as backends:
        runner = PassThroughRunner(config, OneOfEach(backends.backends))
        async with serving(settings, runner, telemetry) as gateway:
            log.info("ready", address=f"{gateway.calls.host}:{gateway.calls.port}")
            await signalled
    return 0


if __name__ == "__main__":
    configure_logs("info", service="passthrough")
    sys.exit(run(serve()))
