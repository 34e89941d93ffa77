#!/usr/bin/env bash
# Sourced by demo.sh and talk.sh: start the embedded stack on free loopback ports, and end it however the script ends.
# After `start_stack`: GATEWAY holds the gateway's address, STACK_LOGS the folder with the services' logs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=$PWD/.venv/bin
STACK_PIDS=()

stop_stack() {
  local pid
  trap - EXIT INT TERM
  for pid in ${STACK_PIDS[@]+"${STACK_PIDS[@]}"}; do
    if kill -0 "$pid" 2>/dev/null; then kill -TERM "$pid"; fi
  done
  for pid in ${STACK_PIDS[@]+"${STACK_PIDS[@]}"}; do end_service "$pid"; done
  STACK_PIDS=()
}

# end_service PID: SIGTERM was sent. Says so when the service has to be killed, or ended otherwise than by a signal of ours.
end_service() {
  local pid=$1 status=0
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  if kill -0 "$pid" 2>/dev/null; then
    echo "process $pid did not stop within 5 s and is killed; its log is in $STACK_LOGS" >&2
    kill -KILL "$pid"
  fi
  wait "$pid" || status=$?
  case $status in
    0 | 130 | 143 | 137) ;; # well, by Ctrl-C, by our SIGTERM, by the kill that was just told
    *) echo "process $pid ended with status $status; its log is in $STACK_LOGS" >&2 ;;
  esac
}

# launch NAME COMMAND...: in the background, its log under STACK_LOGS.
launch() {
  local name=$1
  shift
  "$@" >"$STACK_LOGS/$name.log" 2>&1 </dev/null &
  STACK_PIDS+=("$!")
}

# await_ready NAME PID: until the service has told where it listens; sets ADDRESS.
await_ready() {
  local name=$1 pid=$2 began=$SECONDS
  until ADDRESS=$("$bin/python" -S scripts/ready_address.py "$STACK_LOGS/$name.log"); do
    if ! kill -0 "$pid" 2>/dev/null; then
      echo "$name did not start. The end of its log ($STACK_LOGS/$name.log):" >&2
      tail -n 5 "$STACK_LOGS/$name.log" >&2
      exit 1
    fi
    [ $((SECONDS - began)) -lt 60 ] || { echo "$name is not ready after 60 s; see $STACK_LOGS/$name.log" >&2; exit 1; }
    sleep 0.1
  done
}

start_stack() {
  STACK_LOGS=${STACK_LOGS:-$PWD/out/logs}
  mkdir -p "$STACK_LOGS"
  trap 'stop_stack' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local speech=${RIVA_URI:-} llm=${LLM_BASE_URL:-} speech_pid='' llm_pid=''
  if [ -z "$speech" ]; then
    launch speech-worker env SPEECH_LISTEN_ADDRESS=127.0.0.1:0 "$bin/speech-worker"
    speech_pid=$!
  fi
  if [ -z "$llm" ]; then
    launch responder env RESPONDER_LISTEN_ADDRESS=127.0.0.1:0 "$bin/offline-responder"
    llm_pid=$!
  fi
  if [ -n "$speech_pid" ]; then await_ready speech-worker "$speech_pid"; speech=$ADDRESS; fi
  if [ -n "$llm_pid" ]; then await_ready responder "$llm_pid"; llm=http://$ADDRESS/v1; fi
  launch gateway env RIVA_URI="$speech" LLM_BASE_URL="$llm" GATEWAY_LISTEN_ADDRESS=127.0.0.1:0 \
    METRICS_LISTEN_ADDRESS=127.0.0.1:0 "$bin/voice-gateway"
  await_ready gateway "$!"
  # shellcheck disable=SC2034  # read by the scripts that source this one
  GATEWAY=$ADDRESS
}
