#!/usr/bin/env bash
# Talk to the whole loop on this machine with your microphone and speakers. Ctrl-C ends it.
# Usage: scripts/talk.sh [options of `voice talk`]      LLM_BASE_URL and RIVA_URI replace the built-in parts.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/stack.sh
start_stack
"$bin/voice" talk --target "$GATEWAY" "$@"
