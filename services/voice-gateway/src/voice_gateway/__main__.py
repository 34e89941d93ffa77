"""`voice-gateway`: reads the settings, runs, stops on SIGTERM or SIGINT."""

import argparse
import os
import sys
from pathlib import Path

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from servicekit.lifecycle import run
from servicekit.logs import configure_logs
from servicekit.settings import SettingsError
from voice_gateway.settings import load

EXIT_BAD_SETTINGS = 2


def main() -> int:
    """Exit code 0 after a signal, 2 for settings that can't be used."""
    parser = argparse.ArgumentParser(
        prog="voice-gateway",
        description="Streaming voice gateway: callers over gRPC, Riva for hearing and speaking, an LLM for answers.",
        epilog="Every setting is an environment variable or a key of the configuration: docs/reference/settings.md.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help="YAML file of keys, or a directory with one file per key such as a mounted ConfigMap; overrides "
        "GATEWAY_CONFIG",
    )
    parser.add_argument(
        "--listen-address",
        metavar="HOST:PORT",
        help="overrides GATEWAY_LISTEN_ADDRESS of the environment; port 0 takes a free port",
    )
    parser.add_argument("--check", action="store_true", help="say whether the settings are good, and exit")
    arguments = parser.parse_args()
    environ = dict(os.environ)
    if arguments.listen_address is not None:
        environ["GATEWAY_LISTEN_ADDRESS"] = arguments.listen_address
    if arguments.config is not None:
        environ["GATEWAY_CONFIG"] = str(arguments.config)
    file = Path(environ["GATEWAY_CONFIG"]) if environ.get("GATEWAY_CONFIG") else None
    try:
        settings = load(environ=environ, file=file)
        if arguments.check:
            return 0
        from voice_gateway.server import serve  # noqa: PLC0415 - takes seconds, and a refusal needs none of it

        configure_logs(
            settings.log.level,
            service="voice-gateway",
            as_json=settings.log.format == "json",
            log_personal=settings.log.words,
        )
        return run(serve(settings, file=file, environ=environ))
    except SettingsError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(f"Cannot start: {error.strerror or error}.")


def _refused(sentences: str) -> int:
    print(sentences, file=sys.stderr)  # noqa: T201 - for the person who started it
    return EXIT_BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
