#!/usr/bin/env bash
# A way from this machine to a gateway inside a cluster: `kubectl port-forward` on HOST, and an SSH tunnel to it.
# Usage: scripts/tunnel.sh [options] HOST [up|down|status]
#   up      (default) opens it and keeps it open until Ctrl-C: what drops is opened again, and a client resumes its call
#   down    ends the one that runs for HOST, from another terminal
#   status  says whether it is up; exit status 0 where it is, 1 where it is not
# HOST is what you give to ssh: a name of ~/.ssh/config, or user@host. It needs kubectl and access to the cluster.
#   --local-port N    here, on 127.0.0.1 (50051)       --remote-port N  on HOST, on 127.0.0.1 (the same as here)
#   --namespace NAME  (voice-workflow)                 --service NAME   (service/voice-gateway-gateway)
#   --context NAME    of HOST's kubeconfig (its current one)
#   -F FILE           configuration for ssh            --dry-run        say what would run, and run nothing
# A key, or an agent, spares you the password each time that it is opened again. Works with the bash 3.2 of macOS.
set -euo pipefail

GATEWAY_PORT=50051
STEADY_S=10 # a connection that lasted so long is opened again at once
MOST_WAIT_S=5
LEAVING_LOOKS=8 # every look_s: as long as calls through a pod that drains have to end or move
look_s=${VOICE_TUNNEL_LOOK_S:-2}

say() { printf 'tunnel: %s\n' "$*"; }
die() {
  printf 'tunnel: %s\n' "$*" >&2
  exit 2
}
usage() {
  sed -n 's/^# \{0,1\}//; 2,13p' "$0"
  exit "$1"
}

# ---- what is wanted ---------------------------------------------------------------------------------------------------

local_port=$GATEWAY_PORT
remote_port=
namespace=voice-workflow
service=service/voice-gateway-gateway
context=
ssh_config=
dry_run=
host=
action=
need() { [ $# -ge 2 ] || die "$1 needs a value; see --help."; }
while [ $# -gt 0 ]; do
  case $1 in
    --local-port) need "$@"; local_port=$2; shift ;;
    --remote-port) need "$@"; remote_port=$2; shift ;;
    --namespace) need "$@"; namespace=$2; shift ;;
    --service) need "$@"; service=$2; shift ;;
    --context) need "$@"; context=$2; shift ;;
    -F) need "$@"; ssh_config=$2; shift ;;
    --dry-run) dry_run=1 ;;
    -h | --help) usage 0 ;;
    -*) die "$1 is not known; see --help." ;;
    *)
      if [ -z "$host" ]; then
        host=$1
      elif [ -z "$action" ]; then
        action=$1
      else
        die "$1 is one too many; give HOST and up, down or status."
      fi
      ;;
  esac
  shift
done
[ -n "$host" ] || usage 2 >&2
action=${action:-up}
remote_port=${remote_port:-$local_port}

# All of these become part of a command that a shell on HOST reads.
check() {
  case $2 in
    '' | -* | *[!A-Za-z0-9@._:/-]*) die "$1 $2: letters, digits and @ . _ : / - are allowed, and no - at the start." ;;
  esac
}
check HOST "$host"
check --namespace "$namespace"
check --service "$service"
[ -z "$context" ] || check --context "$context"
for port in "$local_port" "$remote_port"; do
  case $port in '' | *[!0-9]*) die "port $port: a number from 1 to 65535 is needed." ;; esac
  { [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; } || die "port $port: a number from 1 to 65535 is needed."
done
[ -z "$ssh_config" ] || [ -r "$ssh_config" ] || die "-F $ssh_config cannot be read."
case $look_s in *[!0-9.]*) die "VOICE_TUNNEL_LOOK_S $look_s: seconds." ;; esac
case $action in up | down | status) ;; *) die "$action is not known; there are up, down and status." ;; esac

state=${VOICE_TUNNEL_STATE:-$HOME/.voice-tunnel}/$(printf '%s' "$host" | tr '@:/' '___')-$local_port

# ---- what runs --------------------------------------------------------------------------------------------------------

kubectl="kubectl${context:+ --context $context} --namespace $namespace"
forward="$kubectl port-forward --address 127.0.0.1"
case $service in
  service/* | svc/*)
    slices="$kubectl get endpointslices -l kubernetes.io/service-name=${service#*/} --request-timeout=5s"
    ready="$slices -o \"jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}\""
    ;;
  *) ready=false ;;
esac

# On HOST: the port-forward, again whenever it ends (as it does when its pod goes), until the connection is gone, which
# is the end of standard input. Without a terminal nothing else would tell it. It leads to a pod that is ready, another
# one than before if there is one, and leaves a pod that has not been ready for some looks while another is: a pod that
# drains takes no call, and may stay for minutes. Where pods cannot be asked for, kubectl chooses.
remote="sh -c '
exec 3<&0
forward= watch= pod=
leave() {
  trap - EXIT HUP INT TERM
  for job in \$watch \$forward; do kill \$job 2>/dev/null; done
  exit 0
}
trap leave EXIT HUP INT TERM
command -v kubectl >/dev/null || exit 3
(cat <&3 >/dev/null; kill -TERM \$\$ 2>/dev/null) &
ready() { $ready 2>/dev/null; }
watch_pod() {
  looks=0
  while sleep $look_s; do
    names=\$(ready) || continue
    case \" \$names \" in
      *\" \$1 \"*) looks=0 ;;
      *[!\ ]*) looks=\$((looks + 1)) ;;
    esac
    [ \$looks -lt $LEAVING_LOOKS ] || { kill \$2; return; }
  done
}
while :; do
  last=\$pod pod= to=$service
  for each in \$(ready); do
    pod=\$each
    [ \"\$pod\" = \"\$last\" ] || break
  done
  [ -z \"\$pod\" ] || to=pod/\$pod
  $forward \$to $remote_port:$GATEWAY_PORT </dev/null 3<&- &
  forward=\$!
  if [ -n \"\$pod\" ]; then
    watch_pod \$pod \$forward </dev/null >/dev/null 2>&1 3<&- &
    watch=\$!
  fi
  wait \"\$forward\" || true
  forward=
  [ -z \"\$watch\" ] || kill \$watch 2>/dev/null
  watch=
  echo \"tunnel: the port-forward ended; opening it again\"
  sleep 0.3
done'"

ssh_command=(ssh -T ${ssh_config:+-F "$ssh_config"}
  -o ExitOnForwardFailure=yes -o ConnectTimeout=10 -o ServerAliveInterval=3 -o ServerAliveCountMax=2
  -o PermitLocalCommand=yes -o "LocalCommand=touch '$state/connected'"
  -L "127.0.0.1:$local_port:127.0.0.1:$remote_port" "$host")

listens() { (exec 4<>"/dev/tcp/127.0.0.1/$local_port") 2>/dev/null; }

# The process of `up`; nothing where it does not run.
runs() {
  local pid
  pid=$(cat "$state/pid" 2>/dev/null) || return 1
  kill -0 "$pid" 2>/dev/null || return 1
  case $(ps -o command= -p "$pid" 2>/dev/null) in *tunnel.sh*) echo "$pid" ;; *) return 1 ;; esac
}

# ---- the three actions ------------------------------------------------------------------------------------------------

status() {
  local pid
  if ! pid=$(runs); then
    say "down: no tunnel to $host runs for port $local_port."
    return 1
  fi
  if [ -e "$state/connected" ] && listens; then
    say "up: 127.0.0.1:$local_port leads to $service on $host (process $pid)."
    return 0
  fi
  say "opening: process $pid is connecting to $host."
  return 1
}

down() {
  local pid waited=0
  if ! pid=$(runs); then
    say "no tunnel to $host runs for port $local_port."
    return 0
  fi
  kill -TERM "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    [ $waited -lt 100 ] || { say "process $pid does not end."; return 1; }
    waited=$((waited + 1))
    sleep 0.1
  done
  say "down."
}

ssh_pid=
sleep_pid=
close() {
  trap - EXIT HUP INT TERM
  [ -z "$sleep_pid" ] || kill "$sleep_pid" 2>/dev/null || true
  if [ -n "$ssh_pid" ]; then
    kill -TERM "$ssh_pid" 2>/dev/null || true
    wait "$ssh_pid" 2>/dev/null || true
  fi
  rm -rf "$state"
  say "closed."
  exit "${1:-0}"
}

pause() {
  sleep "$1" &
  sleep_pid=$!
  wait "$sleep_pid" || true
  sleep_pid=
}

up() {
  local pid begun lasted code wait_s=1 reached=
  if pid=$(runs); then
    die "a tunnel to $host runs already (process $pid); end it with: $0 $host down"
  fi
  command -v ssh >/dev/null || die "there is no ssh on this machine."
  ! listens || die "something listens on 127.0.0.1:$local_port already; end it, or give --local-port."
  (umask 077 && mkdir -p "$state")
  rm -f "$state/connected" "$state/hold"
  echo $$ >"$state/pid"
  mkfifo "$state/hold"
  exec 5<>"$state/hold" # never ends while this script runs: it is ssh's standard input
  trap close EXIT
  trap 'close 0' INT TERM HUP
  say "127.0.0.1:$local_port -> $host -> $service in $namespace; Ctrl-C closes it."
  while :; do
    begun=$SECONDS
    rm -f "$state/connected"
    "${ssh_command[@]}" "$remote" <&5 &
    ssh_pid=$!
    code=0
    wait "$ssh_pid" || code=$?
    ssh_pid=
    lasted=$((SECONDS - begun))
    [ ! -e "$state/connected" ] || reached=1
    if [ -z "$reached" ]; then
      say "ssh to $host failed (status $code): see the lines above, and try \`ssh $host\` by itself." >&2
      close 1
    fi
    if [ $code -eq 3 ]; then
      say "$host has no kubectl on the path of a plain ssh command." >&2
      close 1
    fi
    [ $lasted -lt $STEADY_S ] || wait_s=0
    say "the connection to $host ended after $lasted s (status $code); opening it again in $wait_s s."
    [ $wait_s -eq 0 ] || pause $wait_s
    wait_s=$((wait_s == 0 ? 1 : wait_s * 2))
    [ $wait_s -le $MOST_WAIT_S ] || wait_s=$MOST_WAIT_S
  done
}

if [ -n "$dry_run" ]; then
  say "would run here:"
  printf '  %s' "${ssh_command[0]}"
  printf ' %q' "${ssh_command[@]:1}"
  printf '\n'
  say "and on $host, again whenever it ends, to a pod of it that is ready:"
  printf '  %s\n' "$forward $service $remote_port:$GATEWAY_PORT"
  exit 0
fi
"$action"
