#!/usr/bin/env bash
# Speak a question from a WAV through the whole loop on this machine, and show what happens.
# Usage: scripts/demo.sh [QUESTION.wav]      LLM_BASE_URL and RIVA_URI replace the built-in parts.
set -euo pipefail
question=${1:+$(cd "$(dirname "$1")" 2>/dev/null && pwd)/$(basename "$1")}
cd "$(dirname "$0")/.."
source scripts/stack.sh
question=${question:-$PWD/services/speech-worker/tests/audio/what-time-is-it.wav}
[ -f "$question" ] || { echo "There is no file $question." >&2; exit 2; }
mkdir -p out
start_stack
echo "question: $question"
"$bin/voice" say "$question" --target "$GATEWAY" --out out/answer.wav
