"""`speech-worker`: loads the engines, says when it serves, stops on SIGTERM or SIGINT."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from servicekit.lifecycle import catch_signals, run
from servicekit.logs import configure_logs, get_logger
from servicekit.rpc_errors import leaf_errors
from servicekit.settings import SettingsError, describe, load_settings
from speech_worker.domain.errors import EngineUnusable
from speech_worker.server import serving
from speech_worker.settings import SpeechSettings

EXIT_UNUSABLE = 2


async def _serve(settings: SpeechSettings) -> None:
    log = get_logger("speech_worker")
    signalled = catch_signals()
    async with serving(settings) as running:
        log.info(
            "ready",
            host=running.host,
            port=running.port,
            address=running.address,
            asr=running.asr.capabilities.label if running.asr else None,
            tts=running.tts.capabilities.label if running.tts else None,
            max_asr_streams=settings.max_asr_streams,
            max_tts_streams=settings.max_tts_streams,
        )
        signal = await signalled
        log.info("stopping", signal=signal)
    log.info("stopped")


def read_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> SpeechSettings:
    """Flags win over the environment, which wins over the file's missing keys. Raises SettingsError."""
    parser = argparse.ArgumentParser(
        prog="speech-worker",
        description="Riva-compatible speech server on CPU. The default engines are for trying things out.",
        epilog="Each flag is also an environment variable: --asr-engine is SPEECH_ASR_ENGINE.",
    )
    parser.add_argument("--settings-file", type=Path, metavar="FILE", help="YAML of SPEECH_ keys, or a folder of them")
    keys = {}
    for doc in describe(SpeechSettings):
        flag = "--" + "-".join(doc.path).replace("_", "-")
        keys["_".join(doc.path)] = doc.key
        text = f"{doc.description} Allowed: {doc.allowed}. Default: {doc.default or 'empty'}."
        parser.add_argument(flag, metavar="VALUE", help=text.replace("%", "%%"))
    given = vars(parser.parse_args(arguments))
    settings_file = given.pop("settings_file")
    flags = {keys[name]: value for name, value in given.items() if value is not None}
    return load_settings(SpeechSettings, file=settings_file, environ={**environ, **flags})


def main() -> int:
    try:
        settings = read_settings(sys.argv[1:], os.environ)
    except SettingsError as error:
        return _refused(str(error))
    configure_logs(settings.log_level, service="speech-worker")
    try:
        return run(_serve(settings))
    except OSError as error:
        return _refused(f"Cannot listen on {settings.listen_address}: {error}.")
    except (EngineUnusable, BaseExceptionGroup) as error:
        sentences = [str(leaf) for leaf in leaf_errors(error) if isinstance(leaf, EngineUnusable)]
        if not sentences:
            raise
        return _refused("\n".join(sentences))


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 - one sentence for a person, before or instead of logs
    return EXIT_UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
