"""The `voice` command."""

import os
import sys

# How gRPC's core does its input and output: 30 callers cost 0.23 of a core so, and 0.27 otherwise (grpcio 1.85.1).
CHEAPER_MESSAGES = "-event_engine_client,-event_engine_listener,-event_engine_for_all_other_endpoints"


def main() -> int:
    """Run the command; the exit status is 0, 1 (the call failed), 2 (bad input) or 3 (no gateway)."""
    # gRPC's C core writes its own lines about failed handshakes; the sentence of the command says it better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if sys.argv[1:2] == ["load"]:
        os.environ.setdefault("GRPC_EXPERIMENTS", CHEAPER_MESSAGES)
    from voice_clients.cli import run  # noqa: PLC0415 - gRPC reads the environment when it is imported

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
