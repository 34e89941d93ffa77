#!/usr/bin/env bash
# The gateway's port on this machine. Goes on when its pod leaves: it forwards to another one then, and clients that can resume lose
# nothing. Ctrl-C ends it.
#
# Usage: scripts/port_forward.sh [--context NAME] [options]
#   --context NAME        which cluster (or KUBE_CONTEXT); never the current one without being asked
#   --namespace NAME      voice-workflow unless given
#   --port N              here (50051)
#   --remote-port N       of the pod (50051; 8080 are its metrics)
#   --address ADDRESS     where to listen (127.0.0.1). Anything else lets others in: it warns
#   --dry-run             print the command, and forward nothing
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib/common.sh"
source "$here/lib/cluster.sh"
source "$here/lib/forward.sh"

LOOK_S=2        # how often the pod is looked at: one request to the API server each time
LEAVING_LOOKS=8 # a pod that drains keeps its port for this many looks, while calls through it end or move
port=50051
remote=50051
address=127.0.0.1
while [ $# -gt 0 ]; do
  TAKEN=2
  case $1 in
    --port) port=$(value_of "$@") || exit 2 ;;
    --remote-port) remote=$(value_of "$@") || exit 2 ;;
    --address) address=$(value_of "$@") || exit 2 ;;
    *) cluster_option "$@" || usage_error "$1 is not an option." ;;
  esac
  shift "$TAKEN"
done
for number in "$port" "$remote"; do
  is_whole "$number" && [ "$number" -le 65535 ] && [ "$number" -gt 0 ] || usage_error "$number is not a port: 1 to 65535."
done
# kubectl takes several, with commas: one that is not loopback is enough.
outside=$(printf '%s\n' "$address" | tr ',' '\n' | sed -E '/^(127\.[0-9.]+|localhost|::1)$/d' | paste -sd , -)
if [ -n "$outside" ]; then
  say "WARNING: $outside is not loopback. Whoever reaches this machine there can call the gateway, unencrypted unless it speaks TLS itself, and unasked unless AUTH_MODE is set. Safer: leave the address out, and use ssh -L."
fi

forward=
# All that runs in the background: a signal may come before the number of the newest is noted. SIGKILL, because a shell that has just
# been forked can lose a gentler one, and would be waited for in vain.
stop_forward() {
  local job
  for job in $(jobs -p); do
    kill -KILL "$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  done
}
trap stop_forward EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

choose_context
if [ -n "$DRY_RUN" ]; then
  pod=$(pick_pod)
  [ -n "$pod" ] || say "no pod of the gateway is ready now; it would wait for one"
  shown "${KUBECTL[@]}" port-forward --address "$address" "pod/${pod:-POD}" "$port:$remote"
  exit 0
fi

# watch_pod POD FORWARD: ends the forward when another pod should take over. kubectl itself notices a pod that is gone only when the
# next caller comes.
watch_pod() {
  local pod=$1 leaving=0
  while sleep "$LOOK_S"; do
    case $(state_of "$pod") in
      ready | unknown) leaving=0; continue ;;
      leaving) leaving=$((leaving + 1)); [ "$leaving" -ge "$LEAVING_LOOKS" ] || continue ;;
    esac
    if [ -n "$(pick_pod)" ]; then kill "$2" 2>/dev/null || true; return 0; fi
  done
}

waiting=
quick=0
while :; do
  pod=$(pick_pod)
  if [ -z "$pod" ]; then
    [ -n "$waiting" ] || say "no pod of the gateway is ready (kubectl -n $NAMESPACE get pods -l $SELECTOR); waiting"
    waiting=1
    sleep 1
    continue
  fi
  waiting=
  say "$address:$port -> $pod:$remote"
  began=$SECONDS
  "${KUBECTL[@]}" port-forward --address "$address" "pod/$pod" "$port:$remote" &
  forward=$!
  watch_pod "$pod" "$forward" &
  wait "$forward" || true
  stop_forward
  # A forward that ends at once, again and again, has a reason that no other pod mends: a port that is taken, a right that is missing.
  if [ $((SECONDS - began)) -lt 3 ]; then quick=$((quick + 1)); else quick=0; fi
  [ "$quick" -lt 5 ] || die "kubectl port-forward ends at once each time; what it says is above. Is port $port taken? Take another with --port."
  [ "$quick" -eq 0 ] || sleep "$quick"
  say "the forward to $pod has ended; another begins"
done
