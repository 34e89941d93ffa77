"""The messages of one call as JSON, for load tools that read them from a file: config, a question, silence after it.

Usage: python scripts/load/messages.py [QUESTION.wav] [--chunk-ms 20] [--silence-s 2] > call.json
"""

import argparse
import base64
import json
import sys
from pathlib import Path

from voice_clients.load.speech import read_pool

RATE_HZ = 16_000


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", type=Path, help="a sound file; a question of ours without it")
    parser.add_argument("--chunk-ms", type=int, default=20)
    parser.add_argument(
        "--silence-s", type=float, default=2.0, help="after the question: the gateway's wait for its end"
    )
    options = parser.parse_args()
    pool = read_pool([options.question] if options.question else [], RATE_HZ, options.chunk_ms)
    speech = pool[0].chunks
    silence = [bytes(len(speech[0]))] * round(options.silence_s * 1000 / options.chunk_ms)
    config = {"language_code": "en-US", "session_id": "load", "sample_rate": RATE_HZ}
    audio = [{"audio_chunk": base64.b64encode(chunk).decode()} for chunk in (*speech, *silence)]
    json.dump([{"config": config}, *audio], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
