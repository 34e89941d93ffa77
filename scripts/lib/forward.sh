# shellcheck shell=bash
# Sourced after cluster.sh: which pod to forward a port to.

# A line for each pod of the gateway: name, whether it is ready (True, False, Unknown), and when it began to leave.
pods() {
  "${KUBECTL[@]}" get pods -l "$SELECTOR" --request-timeout=5s \
    -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{" "}{.metadata.deletionTimestamp}{"\n"}{end}'
}

# pick_pod: prints a pod that is ready and stays; nothing where there is none.
pick_pod() { { pods 2>/dev/null || true; } | awk '$2 == "True" && $3 == "" && !found { print $1; found = 1 }'; }

# state_of POD: ready, leaving, unready, gone; or unknown, where the API server does not answer.
state_of() {
  local now
  now=$(pods 2>/dev/null) || { echo unknown; return; }
  printf '%s\n' "$now" | awk -v pod="$1" '
    $1 == pod { found = 1; if ($3 != "") print "leaving"; else if ($2 == "True") print "ready"; else print "unready" }
    END { if (!found) print "gone" }'
}
