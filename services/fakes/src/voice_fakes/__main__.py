"""`voice-fakes`: a fake Riva and a fake LLM from the command line."""

import argparse
import gc
import sys
from pathlib import Path

from servicekit.lifecycle import catch_signals, run
from servicekit.logs import configure_logs, get_logger
from voice_fakes.script import Script, ScriptError, read_script
from voice_fakes.server import FakesOptions, serving_fakes

EXIT_BAD_ARGUMENTS = 2


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no host:port with a port of 0 to 65535")
    return text


async def _serve(script: Script, options: FakesOptions) -> None:
    log = get_logger("voice_fakes")
    signalled = catch_signals()
    async with serving_fakes(script, options) as running:
        gc.freeze()  # the imported modules need no more looking through: a full run over them takes tens of ms
        log.info("ready", riva_port=running.riva_port, llm_port=running.llm_port, control_port=running.control_port)
        signal = await signalled
        log.info("stopping", signal=signal, events=len(running.log), events_dropped=running.log.dropped)


def main() -> int:
    parser = argparse.ArgumentParser(prog="voice-fakes", description="Scriptable Riva and OpenAI-compatible servers.")
    parser.add_argument(
        "--riva", type=_address, metavar="HOST:PORT", help="serve the fake Riva here; port 0 takes a free one"
    )
    parser.add_argument("--llm", type=_address, metavar="HOST:PORT", help="serve the fake LLM here")
    parser.add_argument("--control", type=_address, metavar="HOST:PORT", help="serve the control endpoint here")
    parser.add_argument("--script", type=Path, metavar="FILE", help="YAML or JSON; without it the defaults are played")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="append the event log to this file, one JSON object a line"
    )
    arguments = parser.parse_args()
    if arguments.riva is None and arguments.llm is None:
        parser.error("nothing to serve: give --riva, --llm or both")
    options = FakesOptions(riva=arguments.riva, llm=arguments.llm, control=arguments.control, log_path=arguments.log)
    configure_logs("info", service="voice-fakes")
    try:
        script = Script() if arguments.script is None else read_script(arguments.script)
        return run(_serve(script, options))
    except (ScriptError, OSError, RuntimeError) as error:
        print(f"voice-fakes: {error}", file=sys.stderr)  # noqa: T201 - one sentence for a person
        return EXIT_BAD_ARGUMENTS


if __name__ == "__main__":
    sys.exit(main())
