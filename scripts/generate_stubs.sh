#!/usr/bin/env bash
# Generate the Python code of proto/voice_workflow.proto into services/contracts.
# The virtual path makes the generated modules import each other as voice_contracts.*.
# Usage: scripts/generate_stubs.sh [OUTPUT_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-services/contracts/src}
PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m grpc_tools.protoc --proto_path=voice_contracts=proto --python_out="$out" --mypy_out="quiet:$out" \
  --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" proto/voice_workflow.proto
