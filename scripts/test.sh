#!/usr/bin/env bash
# Lint, types and tests. Usage: scripts/test.sh [lint|types|unit]   (all of them without an argument)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
# Hundreds of processes start in the tests. Where byte code is not kept, each of them compiles a thousand modules anew.
unset PYTHONDONTWRITEBYTECODE

lint() {
  echo "== lint"
  "$bin/ruff" check .
  "$bin/ruff" format --check --quiet .
  "$bin/buf" lint proto
}

types() {
  echo "== types"
  # A service at a time: test modules of different services share names.
  local service
  for service in services/*/; do
    [ -d "$service/src" ] || continue
    if compgen -G "$service/tests/*" >/dev/null; then set -- "$service/src" "$service/tests"; else set -- "$service/src"; fi
    "$bin/mypy" "$@" | sed "s|^Success|${service%/}: Success|" || exit 1
  done
  "$bin/mypy" bench monitoring scripts tests
}

unit() {
  echo "== tests"
  command -v helm >/dev/null || echo "NOT RUN: the chart's tests (tests/chart). They need helm on the PATH, and there is none."
  "$bin/python" -c 'import sys; from bench.network import possible; sys.exit(not possible())' ||
    echo "NOT RUN: the tests with lost packets (tests/loop/test_lost_packets.py). They need root, iproute2 and /dev/net/tun."
  # A file's tests stay together, since its services are started once for all of them. (Groups by mark do not: xdist 3.8
  # does not give them to pytest 9.2.) Those in real time wait more than they compute: conftest.py puts them first.
  "$bin/pytest" -n 3 --dist loadfile --no-loadscope-reorder "$@"
}

case ${1:-all} in
  lint) lint ;;
  types) types ;;
  unit) shift; unit "$@" ;;
  all) lint; types; unit ;;
  *) echo "usage: scripts/test.sh [lint|types|unit]" >&2; exit 2 ;;
esac
