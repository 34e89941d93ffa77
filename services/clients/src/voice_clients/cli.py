"""Arguments of the `voice` command, and what becomes of its errors."""

import argparse
import asyncio
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from voice_clients.audio_file import MAX_RATE_HZ, MIN_RATE_HZ
from voice_clients.caller import CallConfig, Overrides
from voice_clients.channel import DEFAULT_TARGET, TARGET_VARIABLE, Security, default_target, parse_target, read_ca
from voice_clients.errors import BadInputError, VoiceError
from voice_clients.installed import RUNS, add_installed
from voice_clients.load.arguments import add_load_arguments

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

EPILOG = (
    """exit status: 0 all went well, 1 the call failed, 2 bad input or no sound device, 3 no gateway could be reached"""
)

TALK_KEYS = (
    "keys: space or m mutes, i interrupts, h holds and resumes, digits * # are keypad keys, q quits; "
    "typed: /voice NAME, /language TAG, /dtmf DIGITS, /hold, /resume"
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="voice", description="Talk to a voice gateway.", epilog=EPILOG, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_talk(commands.add_parser("talk", help="with your microphone and loudspeaker", epilog=EPILOG))
    _add_say(commands.add_parser("say", help="play a sound file and keep the answer", epilog=EPILOG))
    devices = commands.add_parser("devices", help="list sound devices", epilog=EPILOG)
    devices.add_argument("--json", action="store_true", dest="as_json", help="one JSON document on stdout")
    check = commands.add_parser("check", help="is the gateway there, healthy, and how are its backends", epilog=EPILOG)
    _add_target(check)
    check.add_argument("--json", action="store_true", dest="as_json", help="one JSON document on stdout")
    load = commands.add_parser("load", help="many callers at once, and a report of how they were served", epilog=EPILOG)
    load.add_argument(
        "target", nargs="?", metavar="TARGET", help=f"host:port (${TARGET_VARIABLE}, else {DEFAULT_TARGET})"
    )
    _add_access(load)
    add_load_arguments(load)
    add_installed(commands)
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        "--server",
        metavar="HOST:PORT",
        help=f"where the gateway is (${TARGET_VARIABLE}, else {DEFAULT_TARGET})",
    )
    _add_access(parser)


def _add_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tls", action="store_true", help="speak TLS to it")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="trust this PEM certificate authority (implies --tls)")
    parser.add_argument(
        "--api-key", metavar="KEY", help="sent as `authorization: Bearer KEY`; reserved, not asked for yet"
    )


def _add_call(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.add_argument(
        "--language", default="", metavar="TAG", help="what is spoken, such as en-US (the gateway's own)"
    )
    parser.add_argument("--voice", metavar="NAME", help="voice of the answer (the gateway's own)")
    parser.add_argument("--session", default="", metavar="NAME", help="name of the session in the gateway's logs")
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help=f"sample rate of the call, {MIN_RATE_HZ} to {MAX_RATE_HZ}"
    )


def _add_timings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timings", choices=["bars", "line", "off"], default="bars", help="where the time of each turn went (bars)"
    )


def _add_say(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="WAV (any kind), FLAC or Ogg; several are several turns"
    )
    _add_call(parser)
    _add_timings(parser)
    parser.add_argument("--fast", action="store_true", help="send as fast as the gateway reads, not in real time")
    parser.add_argument(
        "--out", type=Path, default=Path("answer.wav"), metavar="FILE", help="where the answer goes (answer.wav)"
    )
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="one JSON document on stdout in place of the view"
    )
    parser.add_argument(
        "--legacy", action="store_true", help="be a client of the first contract: announce no capability"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="longest wait for the gateway's next message (60)"
    )


def _add_talk(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"{TALK_KEYS}; {EPILOG}"
    _add_call(parser)
    _add_timings(parser)
    parser.add_argument(
        "--input", metavar="DEVICE", help="microphone: number or part of its name (see `voice devices`)"
    )
    parser.add_argument("--output", metavar="DEVICE", help="loudspeaker: number or part of its name")
    parser.add_argument("--push-to-talk", "--ptt", action="store_true", help="listen only while space says so")
    parser.add_argument("--text", action="store_true", help="type in place of speaking")
    parser.add_argument(
        "--echo-cancellation",
        choices=["on", "off", "auto"],
        default="auto",
        help="keep the loudspeaker out of the microphone; auto: where the library for it is installed (auto)",
    )
    parser.add_argument(
        "--noise-suppression", choices=["on", "off"], default="on", help="quieten the room around you (on)"
    )
    parser.add_argument("--no-speaker", action="store_false", dest="speaker", help="show the answer without playing it")


def security_of(arguments: argparse.Namespace) -> Security:
    """TLS settings. Raises BadInputError."""
    ca = read_ca(arguments.ca) if arguments.ca is not None else None
    return Security(tls=arguments.tls or ca is not None, ca=ca)


def _target_of(arguments: argparse.Namespace) -> str:
    return parse_target(arguments.target or default_target())


def _rate_of(arguments: argparse.Namespace) -> int | None:
    rate: int | None = arguments.rate
    if rate is not None and not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise BadInputError(f"--rate {rate}: the gateway takes {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz.")
    return rate


def _session_of(arguments: argparse.Namespace) -> str:
    return str(arguments.session) or f"voice-{uuid.uuid4().hex[:8]}"


async def _say(arguments: argparse.Namespace) -> int:
    from voice_clients import say  # noqa: PLC0415 - each command loads what it needs
    from voice_clients.view import Timings, open_view  # noqa: PLC0415

    target, security = _target_of(arguments), security_of(arguments)
    if arguments.timeout <= 0:
        raise BadInputError(f"--timeout {arguments.timeout:g}: more than 0 seconds are needed.")
    recordings = say.read_files(tuple(arguments.files), _rate_of(arguments))
    config = CallConfig(
        language_code=arguments.language,
        session_id=_session_of(arguments),
        sample_rate_hz=recordings[0].sample_rate_hz,
        capabilities=say.capabilities(fast=arguments.fast, legacy=arguments.legacy),
        overrides=Overrides(tts_voice=arguments.voice),
    )
    options = say.SayOptions(
        files=tuple(arguments.files),
        out=arguments.out,
        target=target,
        security=security,
        api_key=arguments.api_key,
        config=config,
        fast=arguments.fast,
        as_json=arguments.as_json,
        answer_timeout_s=arguments.timeout,
    )
    view = open_view(quiet=arguments.as_json, timings=Timings(arguments.timings))
    try:
        return await say.say(options, recordings, view)
    finally:
        view.close()


async def _talk(arguments: argparse.Namespace) -> int:
    from voice_clients import talk  # noqa: PLC0415
    from voice_clients.view import PlainView, Timings, open_view  # noqa: PLC0415
    from voice_clients.webrtc_audio import EchoCancellation  # noqa: PLC0415

    options = talk.TalkOptions(
        target=_target_of(arguments),
        security=security_of(arguments),
        api_key=arguments.api_key,
        config=CallConfig(
            language_code=arguments.language,
            session_id=_session_of(arguments),
            capabilities=talk.capabilities(speaker=arguments.speaker),
            overrides=Overrides(tts_voice=arguments.voice),
        ),
        rate_hz=_rate_of(arguments),
        input=arguments.input,
        output=arguments.output,
        push_to_talk=arguments.push_to_talk,
        text=arguments.text,
        speaker=arguments.speaker,
        echo_cancellation=EchoCancellation(arguments.echo_cancellation),
        noise_suppression=arguments.noise_suppression == "on",
    )
    timings = Timings(arguments.timings)
    # A live region would overwrite the line being typed.
    view = PlainView(timings=timings) if arguments.text else open_view(timings=timings)
    try:
        return await talk.Talk(options, view).run()
    finally:
        view.close()


async def _check(arguments: argparse.Namespace) -> int:
    from voice_clients.check import check  # noqa: PLC0415

    return await check(_target_of(arguments), security_of(arguments), arguments.api_key, as_json=arguments.as_json)


def _run_command(arguments: argparse.Namespace) -> int:
    if (run_installed := getattr(arguments, RUNS, None)) is not None:
        return int(run_installed(arguments))
    match arguments.command:
        case "say":
            return asyncio.run(_say(arguments))
        case "talk":
            try:
                return asyncio.run(_talk(arguments))
            except (KeyboardInterrupt, asyncio.CancelledError):
                return 0  # the way to end a talk
        case "devices":
            from voice_clients.devices import show_devices  # noqa: PLC0415

            return show_devices(as_json=arguments.as_json)
        case "check":
            return asyncio.run(_check(arguments))
        case "load":
            from voice_clients.load.command import load  # noqa: PLC0415

            return load(arguments, _target_of(arguments), security_of(arguments))
        case _:
            raise AssertionError(arguments.command)


def run(argv: Sequence[str]) -> int:
    """Run one command line; errors become one sentence on stderr and an exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        return _run_command(arguments)
    except VoiceError as error:
        print(f"voice: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 1
