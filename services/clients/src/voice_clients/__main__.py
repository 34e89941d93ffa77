"""The `voice` command."""

import os
import sys


def main() -> int:
    """Run the command; the exit status is 0, 1 (the call failed), 2 (bad input) or 3 (no gateway)."""
    # gRPC's C core writes its own lines about failed handshakes; the sentence of the command says it better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from voice_clients.cli import run  # noqa: PLC0415 - gRPC reads the environment when it is imported

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
