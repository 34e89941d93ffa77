#!/usr/bin/env bash
# The gateway, by the chart helm/voice-workflow: installs or upgrades the release voice-gateway and waits until its pods are ready.
# Before an upgrade it compares the live ConfigMap with what the chart last set. An edit that the upgrade would undo stops it, until you
# say which side wins.
#
# Usage: scripts/deploy_gateway.sh [--context NAME] [options]
#   --context NAME        which cluster (or KUBE_CONTEXT); never the current one without being asked
#   --namespace NAME      voice-workflow unless given
#   --values FILE, -f     values; may be given again. Values of earlier deploys stay, unless --reset-values
#   --set KEY=VALUE       one value; may be given again. Also --set-string, --set-json, --set-file
#   --image NAME[:TAG]    the gateway's image
#   --embedded            speech worker and responder beside it: no GPU, no key (their image: as --image, called voice-speech-worker)
#   --embedded-image NAME[:TAG]
#   --chart PATH          another chart, folder or .tgz (helm/voice-workflow)
#   --keep-live           edits of the live ConfigMap win: they become values of the release
#   --take-chart          the chart and your values win: edits are overwritten
#   --reset-values        forget the values of earlier deploys
#   --timeout MINUTES     longest wait for the pods (10)
#   --dry-run             print the drift and every command that would change something, and change nothing
# Exit status: 0 done, 1 failed, 2 wrong use, 3 stopped by drift.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib/common.sh"
source "$here/lib/cluster.sh"

RELEASE=voice-gateway
CHART=$ROOT/helm/voice-workflow
DRIFT=3
values=()
image=
embedded=
embedded_image=
winner=
reuse=--reset-then-reuse-values
minutes=10

# Adds one argument of Helm after another.
with_value() { values+=("$@"); }

# split_image NAME[:TAG][@DIGEST]: sets repository, tag and digest.
split_image() {
  repository=$1 tag='' digest=''
  case $repository in *@*) digest=${repository#*@}; repository=${repository%@*} ;; esac
  case ${repository##*/} in *:*) tag=${repository##*:}; repository=${repository%:*} ;; esac
}
# with_image PATH IMAGE: sets the image at that path of the values.
with_image() {
  split_image "$2"
  [ -n "$repository" ] || usage_error "the image $2 has no name."
  with_value --set-string "$1.repository=$repository" --set-string "$1.tag=$tag" --set-string "$1.digest=$digest"
}

while [ $# -gt 0 ]; do
  TAKEN=2
  case $1 in
    --values | -f)
      file=$(value_of "$@") || exit 2
      need_file "$file"
      with_value --values "$file"
      ;;
    --set | --set-string | --set-json | --set-file)
      given=$(value_of "$@") || exit 2
      case $1:$given in
        --set-file:*) ;;
        *[aA]piKey* | *privateKey*) die "a secret on a command line is there for every process to read, and stays in the shell's history: use a Secret of your own (secrets.existingSecret, auth.existingSecret, tls.existingSecret)." ;;
      esac
      with_value "$1" "$given"
      ;;
    --image) image=$(value_of "$@") || exit 2 ;;
    --embedded-image) embedded_image=$(value_of "$@") || exit 2; embedded=1 ;;
    --chart) CHART=$(value_of "$@") || exit 2 ;;
    --timeout) minutes=$(value_of "$@") || exit 2 ;;
    --embedded) embedded=1; TAKEN=1 ;;
    --keep-live | --take-chart)
      [ -z "$winner" ] || [ "$winner" = "$1" ] || usage_error "--keep-live and --take-chart: one of them."
      winner=$1; TAKEN=1
      ;;
    --reset-values) reuse=--reset-values; TAKEN=1 ;;
    *) cluster_option "$@" || usage_error "$1 is not an option." ;;
  esac
  shift "$TAKEN"
done
is_whole "$minutes" && [ "$minutes" -gt 0 ] || usage_error "--timeout $minutes: whole minutes, at least 1."
[ -z "$image" ] || with_image gateway.image "$image"
if [ -n "$embedded" ]; then
  with_value --set embedded.enabled=true
  if [ -z "$embedded_image" ] && [ -n "$image" ]; then
    split_image "$image"
    case ${repository##*/} in voice-gateway) embedded_image=${repository%voice-gateway}voice-speech-worker${tag:+:$tag} ;; esac
  fi
  [ -z "$embedded_image" ] || with_image embedded.image "$embedded_image"
fi
[ -f "$CHART/Chart.yaml" ] || [ -f "$CHART" ] || die "there is no chart at $CHART: run this script from a whole checkout, or give --chart PATH."

# rendered FILE ARGUMENTS...: the ConfigMap that an upgrade with these further arguments would set, as JSON into FILE. Nothing is changed,
# and secrets are left out of what Helm prints.
rendered() {
  local file=$1
  shift
  "${HELM[@]}" upgrade --install "$RELEASE" "$CHART" "$reuse" ${values[@]+"${values[@]}"} "$@" --dry-run=server --hide-secret --output json \
    >"$TEMPORARY/release" 2>"$TEMPORARY/problem" || { cat "$TEMPORARY/problem" >&2; die "the chart refuses these values; see above."; }
  python3 "$here/lib/config_drift.py" manifest "$CONFIG_MAP" <"$TEMPORARY/release" >"$TEMPORARY/configmap.yaml"
  as_json "$TEMPORARY/configmap.yaml" >"$file"
}
as_json() {
  [ ! -s "$1" ] || "${KUBECTL[@]}" create --dry-run=client --validate=false --output json --filename "$1"
}
live_version() { "${KUBECTL[@]}" get configmap "$CONFIG_MAP" --ignore-not-found --output 'jsonpath={.metadata.resourceVersion}'; }

# weigh_drift: compares, tells, and settles which side wins; leaves further values for Helm in `kept`.
weigh_drift() {
  local status=0
  "${KUBECTL[@]}" get configmap "$CONFIG_MAP" --ignore-not-found --output json >"$TEMPORARY/live.json"
  seen_version=$(live_version)
  : >"$TEMPORARY/last.json"
  if "${HELM[@]}" get manifest "$RELEASE" >"$TEMPORARY/manifest" 2>/dev/null; then
    python3 "$here/lib/config_drift.py" manifest "$CONFIG_MAP" <"$TEMPORARY/manifest" >"$TEMPORARY/configmap.yaml"
    as_json "$TEMPORARY/configmap.yaml" >"$TEMPORARY/last.json"
  fi
  rendered "$TEMPORARY/next.json"
  if [ ! -s "$TEMPORARY/next.json" ]; then say "the chart makes no ConfigMap $CONFIG_MAP (config.existingConfigMap): configuration is yours"; fi
  if [ ! -s "$TEMPORARY/live.json" ] || [ ! -s "$TEMPORARY/next.json" ]; then return 0; fi
  python3 "$here/lib/config_drift.py" compare "$TEMPORARY/live.json" "$TEMPORARY/last.json" "$TEMPORARY/next.json" || status=$?
  case $status in
    0) return 0 ;;
    "$DRIFT") ;;
    *) die "the configurations could not be compared; see above." ;;
  esac
  case $winner in
    --take-chart) say "the chart wins: these edits are overwritten" ;;
    --keep-live) keep_live ;;
    *)
      say "stopped: an upgrade would undo these edits. Say which side wins: --keep-live (the edits become values of the release) or --take-chart (they are overwritten)."
      exit "$DRIFT"
      ;;
  esac
}
keep_live() {
  local status=0
  python3 "$here/lib/config_drift.py" overlay "$TEMPORARY/live.json" "$TEMPORARY/last.json" "$TEMPORARY/next.json" >"$TEMPORARY/kept.json"
  kept=(--values "$TEMPORARY/kept.json")
  rendered "$TEMPORARY/next.json" "${kept[@]}"
  python3 "$here/lib/config_drift.py" compare "$TEMPORARY/live.json" "$TEMPORARY/last.json" "$TEMPORARY/next.json" >"$TEMPORARY/rest" || status=$?
  if [ "$status" -ne 0 ]; then
    cat "$TEMPORARY/rest" >&2
    die "these edits cannot be kept: a --set of this command sets them too, or they were taken out of the ConfigMap by hand. Drop the --set, or take --take-chart."
  fi
  say "the live values win, and become values of the release. To have them in a file of yours: $(cat "$TEMPORARY/kept.json")"
}

tell_refusal() {
  die "helm ended with an error; see above. What it has done: helm -n $NAMESPACE history $RELEASE. If another operation is in progress, one was cut" \
    "off before: helm -n $NAMESPACE rollback $RELEASE, or for a first one helm -n $NAMESPACE uninstall $RELEASE; then run this again."
}
tell_failure() {
  "${KUBECTL[@]}" get pods -l "app.kubernetes.io/instance=$RELEASE" -o wide >&2 || true
  die "the pods are not ready. Why: kubectl -n $NAMESPACE describe pod -l $SELECTOR; kubectl -n $NAMESPACE logs -l $SELECTOR --tail=30. Back: helm -n $NAMESPACE rollback $RELEASE"
}

choose_context
need_helm
need python3
make_temporary
ensure_namespace
kept=()
seen_version=
if [ -n "$DRY_RUN" ] && ! exists namespace "$NAMESPACE"; then
  say "the namespace $NAMESPACE is not there yet: there is no drift"
else
  weigh_drift
  [ "$(live_version)" = "$seen_version" ] || die "$CONFIG_MAP was edited while this ran: run it again."
fi
change "${HELM[@]}" upgrade --install "$RELEASE" "$CHART" "$reuse" ${values[@]+"${values[@]}"} ${kept[@]+"${kept[@]}"} || tell_refusal
if [ -z "$DRY_RUN" ]; then
  for workload in $("${KUBECTL[@]}" get deployments -l "app.kubernetes.io/instance=$RELEASE" -o name); do
    "${KUBECTL[@]}" rollout status "$workload" --timeout="${minutes}m" || tell_failure
  done
  there="--context $CONTEXT --namespace $NAMESPACE"
  say "done. To reach it from here: scripts/port_forward.sh $there; to try it: scripts/smoke.sh $there"
fi
