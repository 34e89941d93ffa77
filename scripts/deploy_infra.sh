#!/usr/bin/env bash
# What the gateway needs of NVIDIA in a cluster: namespace, disks, secrets, and the language model (k8s/infra). Riva: deploy_riva.sh.
# Running it again changes only what differs.
#
# Usage: scripts/deploy_infra.sh [--context NAME] [options]
#   --context NAME        which cluster (or KUBE_CONTEXT); never the current one without being asked
#   --namespace NAME      voice-workflow unless given
#   --node NAME           the node whose disk holds the models (node001)
#   --storage-class NAME  ask this class for the disks; no volumes on a node are made
#   --llm plain|operator|none   the language model as a Deployment, by the NIM Operator, or not at all (plain)
#   --speech-nim          Speech NIMs too, in place of Riva
#   --ngc-key-file FILE   the NGC API key (or NGC_API_KEY, or it is asked for)
#   --renew-secrets       make secrets again that are there
#   --wait-minutes N      wait for the models (0: do not wait; a first start takes 20 to 60 minutes)
#   --dry-run             print every command that would change something, and change nothing
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib/common.sh"
source "$here/lib/cluster.sh"
source "$here/lib/secrets.sh"

node=node001
storage_class=
llm=plain
speech_nim=
wait_minutes=0
while [ $# -gt 0 ]; do
  TAKEN=2
  case $1 in
    --node) node=$(value_of "$@") || exit 2 ;;
    --storage-class) storage_class=$(value_of "$@") || exit 2 ;;
    --llm) llm=$(value_of "$@") || exit 2 ;;
    --wait-minutes) wait_minutes=$(value_of "$@") || exit 2 ;;
    --speech-nim) speech_nim=1; TAKEN=1 ;;
    *) cluster_option "$@" || secret_option "$@" || usage_error "$1 is not an option." ;;
  esac
  shift "$TAKEN"
done
case $llm in plain | operator | none) ;; *) usage_error "--llm $llm: plain, operator or none." ;; esac
is_whole "$wait_minutes" || usage_error "--wait-minutes $wait_minutes: a whole number of minutes."
case $node$storage_class in *[!A-Za-z0-9.-]*) usage_error "--node and --storage-class are names of Kubernetes: letters, digits, dots and hyphens." ;; esac

# disks: the manifest on standard input, as it is or for --storage-class: without StorageClass and volumes, and its claims ask that class.
disks() {
  if [ -z "$storage_class" ]; then with_our_names "$node"; return; fi
  with_our_names "$node" | awk -v class="$storage_class" '
    function flush() { if (document != "" && document !~ /\nkind: (PersistentVolume|StorageClass)\n/) printf "%s---\n", document; document = "" }
    BEGIN { document = "\n" }
    /^---/ { flush(); document = "\n"; next }
    /^  volumeName:/ { next }
    /^  storageClassName:/ { document = document "  storageClassName: " class "\n"; next }
    { document = document $0 "\n" }
    END { flush() }'
}

has_gpu() {
  local found
  found=$("${KUBECTL[@]}" get nodes -o 'jsonpath={range .items[*]}{.status.allocatable.nvidia\.com/gpu}{"\n"}{end}') || return 1
  case $found in *[1-9]*) return 0 ;; *) return 1 ;; esac
}

choose_context
if [ -z "$storage_class" ] && ! exists node "$node"; then
  die "there is no node $node. Give --node NAME, or --storage-class NAME. Nodes: $("${KUBECTL[@]}" get nodes -o name | sed 's|node/||' | paste -sd ' ' -)."
fi
if [ "$llm" = operator ] && ! exists crd nimservices.apps.nvidia.com; then
  die "this cluster has no NIM Operator (the resource nimservices.apps.nvidia.com). Install it (https://docs.nvidia.com/nim-operator), or take --llm plain."
fi

disks <"$ROOT/k8s/infra/00-namespace-pvc.yaml" |
  change_with "00-namespace-pvc.yaml for ${storage_class:-$node}" "${KUBECTL[@]}" apply -f -

if [ "$llm" != none ] || [ -n "$speech_nim" ]; then
  ensure_pull_secret
  ensure_ngc_secret
  if [ -z "$storage_class" ]; then
    say "on $node these folders must be there: ssh $node sudo mkdir -p /var/lib/$NAMESPACE/{nim-llm-cache,triton0${speech_nim:+,nim-asr-cache,nim-tts-cache}}"
  fi
  has_gpu || say "no node of this cluster offers nvidia.com/gpu: the models' pods stay Pending until NVIDIA's device plugin (GPU Operator) runs on a node with a GPU."
fi

waiting=()
case $llm in
  plain)
    with_our_names "$node" <"$ROOT/k8s/infra/nim-llm.yaml" | change_with "nim-llm.yaml" "${KUBECTL[@]}" apply -f -
    waiting+=(deployment/nim-llm)
    ;;
  operator)
    with_our_names "$node" <"$ROOT/k8s/infra/nim-operator/llm.yaml" | change_with "nim-operator/llm.yaml" "${KUBECTL[@]}" apply -f -
    ;;
esac
if [ -n "$speech_nim" ]; then
  file=nim-speech.yaml
  if [ "$llm" = operator ]; then file=nim-operator/speech.yaml; else waiting+=(deployment/nim-asr deployment/nim-tts); fi
  disks <"$ROOT/k8s/infra/$file" | change_with "$file" "${KUBECTL[@]}" apply -f -
fi

if [ "$wait_minutes" -gt 0 ] && [ -z "$DRY_RUN" ]; then
  for workload in ${waiting[@]+"${waiting[@]}"}; do
    say "waiting for $workload, $wait_minutes minutes at most"
    "${KUBECTL[@]}" rollout status "$workload" --timeout="${wait_minutes}m" ||
      die "$workload is not ready. kubectl -n $NAMESPACE describe pod -l app=${workload#*/} says why; its log: kubectl -n $NAMESPACE logs -f $workload"
  done
fi
if [ "$llm" = none ]; then say "done"; else say "done; watch the model's start: kubectl --context $CONTEXT -n $NAMESPACE logs -f -l app=nim-llm"; fi
