#!/usr/bin/env python3
"""Talk to the voice gateway: `voice talk` under the name that people know.

    uv run test_mic_client.py [options of `voice talk`]     talk; --help lists the options
    uv run test_mic_client.py --check                       is the gateway reachable, healthy, and what are its backends
    uv run test_mic_client.py --devices                     list sound devices

The gateway is looked for at localhost:50051, the near end of `ssh -L 50051:localhost:50051 user@headnode`.
"""

import sys

SHORTCUTS = {"--check": "check", "--devices": "devices", "--list-devices": "devices"}


def command(arguments: list[str]) -> list[str]:
    """The arguments of `voice` for the arguments of this script."""
    for shortcut, name in SHORTCUTS.items():
        if shortcut in arguments:
            return [name, *(argument for argument in arguments if argument != shortcut)]
    return ["talk", *arguments]


if __name__ == "__main__":
    try:
        from voice_clients.__main__ import main
    except ModuleNotFoundError as error:
        if error.name != "voice_clients":
            raise
        sys.exit("The client is not installed here: run this in the folder that scripts/setup_mac_client.sh made.")
    sys.argv[1:] = command(sys.argv[1:])
    sys.exit(main())
