#!/usr/bin/env bash
# Resolve the workspace and export what is pinned: names, versions and hashes, and no download address.
# Usage: scripts/lock.sh [--upgrade]
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.bootstrap/bin/uv}
"$uv" lock --quiet "$@"
export_pins() { # export_pins FILE ARGUMENTS...
  local file=$1; shift
  "$uv" export --quiet --frozen --no-emit-workspace --no-header --no-annotate "$@" --output-file "requirements/$file"
}
export_pins run.txt --no-dev
export_pins dev.txt --all-groups
# nvidia-riva-client asks for these; its messages and stubs, which are all that is loaded, do without.
without=(--no-emit-package grpcio-tools --no-emit-package setuptools --no-emit-package websockets)
export_pins gateway.txt --no-dev --package voice-gateway "${without[@]}"
export_pins speech-worker.txt --no-dev --package speech-worker --extra pocketsphinx "${without[@]}"
export_pins responder.txt --no-dev --package offline-responder
export_pins fakes.txt --no-dev --package voice-fakes --package voice-clients "${without[@]}"
export_pins client.txt --no-dev --package voice-clients --extra duplex
echo 'uv>=0.9' | "$uv" pip compile --quiet --no-header --no-annotate --generate-hashes --output-file requirements/bootstrap.txt -
