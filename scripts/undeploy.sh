#!/usr/bin/env bash
# Takes the gateway out of a cluster, and more where told. Disks, secrets and the key that seals callers' checkpoints stay unless told.
# It asks before it takes anything away.
#
# Usage: scripts/undeploy.sh [--context NAME] [options]
#   --context NAME        which cluster (or KUBE_CONTEXT); never the current one without being asked
#   --namespace NAME      voice-workflow unless given
#   --riva                Riva too (release riva-api); its disk stays
#   --nim                 the NIMs too (k8s/infra); their disks stay
#   --secrets             the secrets too: NVIDIA's keys, and the resume key (calls under way cannot be resumed after that)
#   --data                the claims and volumes of the models too: they are downloaded again next time, which takes up to an hour.
#                         Files on the node stay where they are
#   --all                 all of that, and the namespace with whatever else is in it
#   --yes                 do not ask
#   --dry-run             print every command, and change nothing
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib/common.sh"
source "$here/lib/cluster.sh"

riva='' nim='' secrets='' data='' all=''
while [ $# -gt 0 ]; do
  TAKEN=1
  case $1 in
    --riva) riva=1 ;;
    --nim) nim=1 ;;
    --secrets) secrets=1 ;;
    --data) data=1 ;;
    --all) riva=1 nim=1 secrets=1 data=1 all=1 ;;
    *) cluster_option "$@" || usage_error "$1 is not an option." ;;
  esac
  shift "$TAKEN"
done

# What the release made and left behind: the resume key.
LEFT=app.kubernetes.io/instance=voice-gateway
delete() { change "${KUBECTL[@]}" delete --ignore-not-found --wait=true --timeout=5m "$@"; }
released() { "${HELM[@]}" status "$1" >/dev/null 2>&1; }
uninstall() {
  if released "$1"; then change "${HELM[@]}" uninstall "$1" --wait --timeout 10m; else say "there is no release $1 in $NAMESPACE"; fi
}

choose_context
need_helm
exists namespace "$NAMESPACE" || { say "there is no namespace $NAMESPACE: nothing to take away"; exit 0; }
calls=$("${KUBECTL[@]}" get pods -l "$SELECTOR" -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{end}' 2>/dev/null || true)
say "goes: the gateway (release voice-gateway, pods: ${calls:-none})${riva:+; Riva}${nim:+; the NIMs}${secrets:+; secrets and the resume key}${data:+; claims and volumes of the models}${all:+; the namespace $NAMESPACE}"
say "calls under way end: there is no other pod for them to move to"
confirm "Take this away from $CONTEXT?"

uninstall voice-gateway
[ -z "$riva" ] || uninstall riva-api
if [ -n "$nim" ]; then
  delete deployment,service nim-llm nim-asr nim-tts
  if exists crd nimservices.apps.nvidia.com; then
    delete nimservices.apps.nvidia.com nim-llm nim-asr nim-tts
    delete nimcaches.apps.nvidia.com nim-llm
  fi
fi
if [ -n "$secrets" ]; then
  delete secret imagepullsecret ngc-api modelpullsecret riva-model-deploy-key
  delete secret -l "$LEFT"
fi
if [ -n "$data" ]; then
  delete pvc nim-llm-cache nim-asr-cache nim-tts-cache triton0
  delete pv "$NAMESPACE-nim-llm-cache" "$NAMESPACE-nim-asr-cache" "$NAMESPACE-nim-tts-cache" "$NAMESPACE-triton0"
  delete storageclass "$NAMESPACE-local"
fi
[ -z "$all" ] || delete namespace "$NAMESPACE"
[ -n "$data" ] || say "kept: the disks of the models. They go with --data"
[ -n "$secrets" ] || say "kept: secrets, and the resume key where the chart made one. They go with --secrets"
