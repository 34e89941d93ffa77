"""Arguments of the `voice` command, and what becomes of its errors."""

import argparse
import asyncio
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from voice_clients.audio_file import MAX_RATE_HZ, MIN_RATE_HZ
from voice_clients.caller import CallConfig, Overrides
from voice_clients.channel import (
    API_KEY_FILE_VARIABLE,
    API_KEY_VARIABLE,
    DEFAULT_TARGET,
    TARGET_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    Security,
    default_target,
    is_local,
    parse_target,
)
from voice_clients.credentials import CERTIFICATE, PRIVATE_KEY, is_credential, read_credential, read_pem
from voice_clients.errors import BadInputError, NoCredentialError, VoiceError
from voice_clients.installed import RUNS, add_installed
from voice_clients.load.arguments import add_load_arguments
from voice_clients.resumption import RESUME_FOR_S

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
    _add_address(check, "another gateway to look at; repeatable. A name may also stand for several addresses")
    check.add_argument("--json", action="store_true", dest="as_json", help="one JSON document a gateway on stdout")
    load = commands.add_parser("load", help="many callers at once, and a report of how they were served", epilog=EPILOG)
    load.add_argument(
        "target", nargs="?", metavar="TARGET", help=f"host:port (${TARGET_VARIABLE}, else {DEFAULT_TARGET})"
    )
    _add_access(load)
    _add_resume(load)
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
    parser.add_argument("--cert", type=Path, metavar="FILE", help="this client's own certificate, PEM (implies --tls)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the private key of --cert, PEM")
    parser.add_argument(
        "--server-name",
        default="",
        metavar="NAME",
        help="the name in the gateway's certificate, and :authority, where the address has another: through a tunnel",
    )
    parser.add_argument("--api-key", metavar="KEY", help=f"sent as `x-api-key` (${API_KEY_VARIABLE})")
    parser.add_argument("--token", metavar="JWT", help=f"sent as `authorization: Bearer JWT` (${TOKEN_VARIABLE})")
    again = "a file with it, read again for each connection: a call that is resumed brings the newest"
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help=f"{again} (${API_KEY_FILE_VARIABLE})")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help=f"{again} (${TOKEN_FILE_VARIABLE})")


def _add_address(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--address", action="append", default=[], metavar="HOST:PORT", help=what)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    _add_address(
        parser, "another gateway to call, or to resume at; repeatable. A name may also stand for several addresses"
    )
    parser.add_argument(
        "--resume-for",
        type=float,
        default=RESUME_FOR_S,
        metavar="SECONDS",
        help=f"how long a lost connection is resumed before the call is given up; 0: not at all ({RESUME_FOR_S:g})",
    )


def _add_call(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    _add_resume(parser)
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
    if (arguments.cert is None) != (arguments.key is None):
        raise BadInputError("--cert and --key go together: give both, or neither.")
    _check_pem("--ca", arguments.ca, CERTIFICATE)
    _check_pem("--cert", arguments.cert, CERTIFICATE)
    _check_pem("--key", arguments.key, PRIVATE_KEY)
    api_key, api_key_file = _secret(
        "--api-key", (arguments.api_key, API_KEY_VARIABLE), (arguments.api_key_file, API_KEY_FILE_VARIABLE)
    )
    token, token_file = _secret(
        "--token", (arguments.token, TOKEN_VARIABLE), (arguments.token_file, TOKEN_FILE_VARIABLE)
    )
    return Security(
        tls=arguments.tls or arguments.ca is not None or arguments.cert is not None,
        ca=arguments.ca,
        cert=arguments.cert,
        key=arguments.key,
        server_name=arguments.server_name,
        api_key=api_key,
        api_key_file=api_key_file,
        token=token,
        token_file=token_file,
    )


def _check_pem(option: str, path: Path | None, kind: str) -> None:
    """What is wrong from the start is said before anything is dialled. Raises BadInputError."""
    if path is not None:
        try:
            read_pem(path, kind)
        except NoCredentialError as error:
            raise BadInputError(f"{option} {error}") from error


def _secret(option: str, plain: tuple[str | None, str], file: tuple[Path | None, str]) -> tuple[str, Path | None]:
    """A key or token, or the file that it is in: each given, and the variable that is looked at where neither is.
    Raises BadInputError for both at once and for what gRPC cannot carry, and NoCredentialError.
    """
    value, path = plain[0], file[0]
    if value is None and path is None:
        value = os.environ.get(plain[1]) or None
        path = Path(os.environ[file[1]]) if os.environ.get(file[1]) else None
    if value is not None and path is not None:
        raise BadInputError(f"{option} and {option}-file (or ${plain[1]} and ${file[1]}): give one of them.")
    if value is not None and not is_credential(value):
        raise BadInputError(f"{option} (or ${plain[1]}): printable ASCII without spaces around it is needed.")
    if path is not None:
        read_credential(path)  # what is wrong from the start is said before anything is dialled
    return value or "", path


def _targets_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """--target first, then every --address; the default where there is neither."""
    given = [*([arguments.target] if arguments.target else []), *arguments.address] or [default_target()]
    return tuple(dict.fromkeys(parse_target(text) for text in given))


def _reached(arguments: argparse.Namespace) -> tuple[tuple[str, ...], Security]:
    """Where the gateways are, and how they are reached. Raises BadInputError and NoCredentialError."""
    targets, security = _targets_of(arguments), security_of(arguments)
    away = [target for target in targets if not is_local(target)]
    if security.identifies and not security.tls and away:
        sys.stderr.write(
            f"voice: your key or token goes to {', '.join(away)} unencrypted, and can be read on the way: add --tls, "
            "or call through a tunnel.\n"
        )
    return targets, security


def _resume_for_of(arguments: argparse.Namespace) -> float:
    seconds: float = arguments.resume_for
    if not 0 <= seconds < float("inf"):
        raise BadInputError(f"--resume-for {seconds:g}: 0 or more seconds are needed.")
    return seconds


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

    targets, security = _reached(arguments)
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
        targets=targets,
        security=security,
        config=config,
        fast=arguments.fast,
        as_json=arguments.as_json,
        answer_timeout_s=arguments.timeout,
        resume_for_s=_resume_for_of(arguments),
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

    targets, security = _reached(arguments)
    options = talk.TalkOptions(
        targets=targets,
        security=security,
        resume_for_s=_resume_for_of(arguments),
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

    return await check(*_reached(arguments), as_json=arguments.as_json)


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

            return load(arguments, *_reached(arguments), _resume_for_of(arguments))
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
