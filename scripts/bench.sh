#!/usr/bin/env bash
# Every measurement that the documents quote, in one run: about fourteen minutes on two cores. Nothing is asserted.
# Usage: scripts/bench.sh [gateway|heard|echo|engines] [arguments of the benchmark]
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out
gateway() { .venv/bin/python -m bench.gateway --json out/bench-gateway.json "$@"; }
heard() { .venv/bin/python -m bench.heard --json out/bench-heard.json "$@"; }
echo_rooms() { .venv/bin/python -m bench.echo "$@"; }
engines() { .venv/bin/python -m speech_worker.bench "$@"; }
case ${1:-all} in
  gateway) shift; gateway "$@" ;;
  heard) shift; heard "$@" ;;
  echo) shift; echo_rooms "$@" ;;
  engines) shift; engines "$@" ;;
  all) gateway; heard; echo_rooms; engines ;;
  *) echo "usage: scripts/bench.sh [gateway|heard|echo|engines]" >&2; exit 2 ;;
esac
