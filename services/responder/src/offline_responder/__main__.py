"""`offline-responder`: starts the server, says on which port, stops on SIGTERM or SIGINT."""

import argparse
import os
import sys
from pathlib import Path

from offline_responder.domain.about import MODEL_ID
from offline_responder.server import serving
from offline_responder.settings import ResponderSettings
from servicekit.lifecycle import catch_signals, run
from servicekit.logs import configure_logs, get_logger
from servicekit.settings import SettingsError, load_settings

EXIT_BAD_SETTINGS = 2


async def _serve(settings: ResponderSettings) -> None:
    log = get_logger("offline_responder")
    signalled = catch_signals()
    async with serving(settings) as running:
        log.info(
            "ready",
            host=running.host,
            port=running.port,
            address=running.address,
            base_url=running.base_url,
            model=MODEL_ID,
            aliases=list(settings.model_aliases),
        )
        signal = await signalled
        log.info("stopping", signal=signal)
    log.info("stopped")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="offline-responder",
        description="OpenAI-compatible chat server that answers by rules. It is scripted, not a language model.",
        epilog="All other settings are environment variables with the prefix RESPONDER_; the README lists them.",
    )
    parser.add_argument(
        "--listen-address", metavar="HOST:PORT", help="overrides RESPONDER_LISTEN_ADDRESS; port 0 takes a free port"
    )
    parser.add_argument(
        "--settings-file", type=Path, metavar="FILE", help="settings as YAML; the environment fills what it leaves out"
    )
    arguments = parser.parse_args()
    environ = dict(os.environ)
    if arguments.listen_address is not None:
        environ["RESPONDER_LISTEN_ADDRESS"] = arguments.listen_address
    try:
        settings = load_settings(ResponderSettings, file=arguments.settings_file, environ=environ)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is not configured before the settings are known
        return EXIT_BAD_SETTINGS
    configure_logs(settings.log_level, service="offline-responder")
    try:
        return run(_serve(settings))
    except OSError as error:
        print(f"Cannot listen on {settings.listen_address}: {error.strerror or error}.", file=sys.stderr)  # noqa: T201 - one sentence for a person
        return EXIT_BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
