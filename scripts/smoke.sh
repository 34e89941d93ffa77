#!/usr/bin/env bash
# Does a deployed gateway work? Health and backends, one call in text, one spoken call; each has to be answered.
#
# Usage: scripts/smoke.sh [--context NAME] [options] [-- OPTIONS OF voice]
#   --address HOST:PORT   where the gateway is (then no cluster is asked). Without it: through a port-forward of this script's own
#   --context NAME        which cluster (or KUBE_CONTEXT); never the current one without being asked
#   --namespace NAME      voice-workflow unless given
#   --wav FILE            what is said ("What time is it?")
#   --text TEXT           what is typed ("What is seven times six?")
#   --timeout SECONDS     longest wait for each answer (60)
#   --dry-run             print what would be run
#   -- ...                for every call of `voice`, such as: -- --tls --ca ca.pem
# Exit status: 0 all answered, 1 something failed (its words are above), 2 wrong use.
# The client is .venv/bin/voice, or `voice` on the PATH, or what VOICE names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib/common.sh"
source "$here/lib/cluster.sh"
source "$here/lib/forward.sh"

ENDING_S=3 # a client that was told to end puts the terminal back and hangs up
address=
wav=$ROOT/services/speech-worker/tests/audio/what-time-is-it.wav
text='What is seven times six?'
seconds=60
access=()
while [ $# -gt 0 ]; do
  TAKEN=2
  case $1 in
    --address | --target) address=$(value_of "$@") || exit 2 ;;
    --wav) wav=$(value_of "$@") || exit 2 ;;
    --text) text=$(value_of "$@") || exit 2 ;;
    --timeout) seconds=$(value_of "$@") || exit 2 ;;
    --) shift; access=(${@+"$@"}); break ;;
    *) cluster_option "$@" || usage_error "$1 is not an option." ;;
  esac
  shift "$TAKEN"
done
is_whole "$seconds" && [ "$seconds" -gt 0 ] || usage_error "--timeout $seconds: whole seconds, at least 1."
need_file "$wav"

voice=${VOICE:-}
if [ -z "$voice" ]; then
  if [ -x "$ROOT/.venv/bin/voice" ]; then voice=$ROOT/.venv/bin/voice; else voice=$(command -v voice || true); fi
fi
command -v "${voice:-voice}" >/dev/null ||
  die "the client \`voice\` is not here: run \`make setup\`, or name one with VOICE=/path/to/voice."

make_temporary
forward=
# shellcheck disable=SC2329  # the trap below calls it
stop_forward() {
  if [ -n "$forward" ]; then
    kill "$forward" 2>/dev/null || true
    wait "$forward" 2>/dev/null || true
  fi
  forward=
  remove_temporary
}
trap 'stop_forward' EXIT

# open_forward: to a pod that is ready, on a free port of loopback; sets `address`.
open_forward() {
  local pod
  pod=$(pick_pod)
  [ -n "$pod" ] || die "no pod of the gateway is ready: kubectl -n $NAMESPACE get pods -l $SELECTOR"
  "${KUBECTL[@]}" port-forward --address 127.0.0.1 "pod/$pod" :50051 >"$TEMPORARY/forward" 2>&1 &
  forward=$!
  for _ in $(seq 100); do
    address=$(sed -n '/^Forwarding from 127/{s/^Forwarding from \([0-9.:]*\) .*/\1/p;q;}' "$TEMPORARY/forward")
    [ -z "$address" ] || return 0
    kill -0 "$forward" 2>/dev/null || break
    sleep 0.1
  done
  die "the port-forward to $pod did not open: $(tail -n 1 "$TEMPORARY/forward")"
}

# within SECONDS COMMAND...: ends it when it takes longer, and by force when it does not end then. (macOS has no `timeout`.)
within() {
  local limit=$1 pid status=0 began=$SECONDS signal
  shift
  "$@" <&0 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    signal=0
    [ $((SECONDS - began)) -lt "$limit" ] || signal=TERM
    [ $((SECONDS - began)) -lt $((limit + ENDING_S)) ] || signal=KILL
    kill -"$signal" "$pid" 2>/dev/null || true
    sleep 0.2
  done
  wait "$pid" || status=$?
  return "$status"
}

if [ -z "$address" ]; then
  choose_context
  if [ -n "$DRY_RUN" ]; then
    address=127.0.0.1:PORT
    pod=$(pick_pod)
    [ -n "$pod" ] || say "no pod of the gateway is ready now"
    shown "${KUBECTL[@]}" port-forward --address 127.0.0.1 "pod/${pod:-POD}" :50051
  else
    open_forward
  fi
fi
options=(--target "$address" ${access[@]+"${access[@]}"})
if [ -n "$DRY_RUN" ]; then
  shown "$voice" check "${options[@]}"
  shown "$voice" talk --text --no-speaker "${options[@]}"
  shown "$voice" say "$wav" --timeout "$seconds" "${options[@]}"
  exit 0
fi

failed=0
result() { # result NAME STATUS FILE: says how it went, and on failure what was seen
  if [ "$2" -eq 0 ]; then
    say "$1: ok"
  else
    failed=1
    say "$1: FAILED (status $2)"
    sed 's/^/    /' "$3" >&2
  fi
}
# answer_in FILE: the assistant's words in what `voice` showed.
answer_in() { sed -n '/^ *assistant: */{s///p;q;}' "$1"; }

status=0
within "$seconds" "$voice" check "${options[@]}" >"$TEMPORARY/check" 2>&1 </dev/null || status=$?
result "health and backends" "$status" "$TEMPORARY/check"

status=0
printf '%s\n' "$text" | within "$seconds" "$voice" talk --text --no-speaker "${options[@]}" >"$TEMPORARY/text" 2>&1 || status=$?
words=$(answer_in "$TEMPORARY/text")
[ -n "$words" ] || status=1
result "a call in text" "$status" "$TEMPORARY/text"
[ -z "$words" ] || say "    \"$text\" -> \"$words\""

status=0
within $((seconds + 60)) "$voice" say "$wav" --timings off --timeout "$seconds" --out "$TEMPORARY/answer.wav" "${options[@]}" >"$TEMPORARY/say" 2>&1 </dev/null || status=$?
words=$(answer_in "$TEMPORARY/say")
# The header of a WAV takes 44 bytes: a spoken answer is more than a tenth of a second at 8 kHz.
sound=$(wc -c <"$TEMPORARY/answer.wav" 2>/dev/null || echo 0)
[ -n "$words" ] && [ "$sound" -gt 1644 ] || status=1
result "a spoken call" "$status" "$TEMPORARY/say"
[ -z "$words" ] || say "    $(basename "$wav") -> \"$words\""
exit "$failed"
