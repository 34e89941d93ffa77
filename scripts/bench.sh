#!/usr/bin/env bash
# Every measurement that the documents quote, in one run: about ten minutes on two cores. Nothing is asserted.
# Usage: scripts/bench.sh [gateway|engines|hearing] [arguments of the benchmark]
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out
gateway() { .venv/bin/python -m bench.gateway --json out/bench-gateway.json "$@"; }
engines() { .venv/bin/python -m speech_worker.bench "$@"; }
hearing() { .venv/bin/python -m bench.voice_activity "$@"; }
case ${1:-all} in
  gateway) shift; gateway "$@" ;;
  engines) shift; engines "$@" ;;
  hearing) shift; hearing "$@" ;;
  all) gateway; engines; hearing ;;
  *) echo "usage: scripts/bench.sh [gateway|engines|hearing]" >&2; exit 2 ;;
esac
