#!/usr/bin/env bash
# The measurements that the documents quote, in one run: about twenty minutes on two cores. Nothing is asserted. Not among
# them: long ones and those that need a cluster (python -m bench.load, bench.cluster).
# Usage: scripts/bench.sh [gateway|barge_in|turns|heard|resume|echo|hearing|telemetry|tracing|engines|flame] [arguments of the benchmark]
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out
gateway() { .venv/bin/python -m bench.gateway --json out/bench-gateway.json "$@"; }
barge_in() { .venv/bin/python -m bench.barge_in --json out/bench-barge-in.json "$@"; }
turns() { .venv/bin/python -m bench.turns --json out/bench-turns.json "$@"; }
heard() { .venv/bin/python -m bench.heard --json out/bench-heard.json "$@"; }
resume() { .venv/bin/python -m bench.resume --json out/bench-resume.json "$@"; }
echo_rooms() { .venv/bin/python -m bench.echo "$@"; .venv/bin/python -m bench.echo_sound; }
engines() { .venv/bin/python -m speech_worker.bench "$@"; }
telemetry() { .venv/bin/python -m bench.telemetry "$@"; }
tracing() { .venv/bin/python -m bench.tracing "$@"; }
hearing() { .venv/bin/python -m bench.voice_activity "$@"; }
flame() { .venv/bin/python -m bench.flame "$@"; } # a profile and no measurement: not among all
case ${1:-all} in
  gateway) shift; gateway "$@" ;;
  barge_in) shift; barge_in "$@" ;;
  turns) shift; turns "$@" ;;
  heard) shift; heard "$@" ;;
  resume) shift; resume "$@" ;;
  echo) shift; echo_rooms "$@" ;;
  engines) shift; engines "$@" ;;
  hearing) shift; hearing "$@" ;;
  telemetry) shift; telemetry "$@" ;;
  tracing) shift; tracing "$@" ;;
  flame) shift; flame "$@" ;;
  all) gateway; barge_in; turns; heard; resume; echo_rooms; hearing; telemetry; tracing; engines ;;
  *) echo "usage: scripts/bench.sh [gateway|barge_in|turns|heard|resume|echo|hearing|telemetry|tracing|engines|flame]" >&2; exit 2 ;;
esac
