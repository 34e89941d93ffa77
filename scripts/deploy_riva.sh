#!/usr/bin/env bash
# Riva (recognition and synthesis) by NVIDIA's chart riva-api, with k8s/infra/riva-values.yaml: makes the secrets it needs, installs or
# upgrades, shows progress, and waits until Triton says that its models are ready. A first start takes 20 to 60 minutes.
#
# Usage: scripts/deploy_riva.sh [--context NAME] [options]
#   --context NAME        which cluster (or KUBE_CONTEXT); never the current one without being asked
#   --namespace NAME      voice-workflow unless given
#   --version VERSION     of the chart, from NVIDIA's catalogue (2.17.0)
#   --chart PATH          a chart at hand, folder or .tgz, in place of NVIDIA's catalogue
#   --values FILE         further values, after k8s/infra/riva-values.yaml; may be given again
#   --storage-class NAME  for the models' disk, in place of the volume that deploy_infra.sh made
#   --ngc-key-file FILE   the NGC API key (or NGC_API_KEY, or it is asked for)
#   --renew-secrets       make secrets again that are there
#   --triton SERVICE:PORT whose /v2/health/ready is asked (triton0:8000)
#   --wait-minutes N      longest wait (90; 0: do not wait)
#   --dry-run             print every command that would change something, and change nothing
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib/common.sh"
source "$here/lib/cluster.sh"
source "$here/lib/secrets.sh"

RELEASE=riva-api
POLL_S=15
BROKEN_POLLS=4 # an image that cannot be pulled for this many looks in a row is not going to be
version=2.17.0
chart=
values=()
storage_class=
triton=triton0:8000
wait_minutes=90
while [ $# -gt 0 ]; do
  TAKEN=2
  case $1 in
    --version) version=$(value_of "$@") || exit 2 ;;
    --chart) chart=$(value_of "$@") || exit 2 ;;
    --values | -f)
      file=$(value_of "$@") || exit 2
      need_file "$file"
      values+=(--values "$file")
      ;;
    --storage-class) storage_class=$(value_of "$@") || exit 2 ;;
    --triton) triton=$(value_of "$@") || exit 2 ;;
    --wait-minutes) wait_minutes=$(value_of "$@") || exit 2 ;;
    *) cluster_option "$@" || secret_option "$@" || usage_error "$1 is not an option." ;;
  esac
  shift "$TAKEN"
done
is_whole "$wait_minutes" || usage_error "--wait-minutes $wait_minutes: a whole number of minutes."
case $version in *[!A-Za-z0-9.+-]* | '') usage_error "--version $version: a version such as 2.17.0." ;; esac
case $triton in *:*) ;; *) usage_error "--triton $triton: SERVICE:PORT, such as triton0:8000." ;; esac
[ -z "$chart" ] || [ -e "$chart" ] || die "there is no chart at $chart."

# download_chart: sets `chart`. The key goes to curl on its standard input.
download_chart() {
  local url="https://helm.ngc.nvidia.com/nvidia/riva/charts/riva-api-$version.tgz"
  need curl
  make_temporary
  chart=$TEMPORARY/riva-api-$version.tgz
  if [ -n "$DRY_RUN" ]; then
    change_with "user and key" curl --config - --fail --location --silent --show-error --connect-timeout 20 --max-time 300 --output "$chart" "$url" </dev/null
    return
  fi
  read_ngc_key
  # shellcheck disable=SC2016  # $oauthtoken is the user's name there, as it stands
  printf 'user = "$oauthtoken:%s"\n' "$KEY" |
    change_with "user and key" curl --config - --fail --location --silent --show-error --connect-timeout 20 --max-time 300 --output "$chart" "$url" ||
    die "the chart could not be fetched from $url: is the key one for NVIDIA's catalogue (NGC), and does the version exist? A chart at hand: --chart PATH."
}

# triton_ready: Triton's own answer, asked through the API server, so that it works from anywhere.
triton_ready() {
  "${KUBECTL[@]}" get --raw "/api/v1/namespaces/$NAMESPACE/services/$triton/proxy/v2/health/ready" --request-timeout=10s >/dev/null 2>&1
}

# A line for each pod of Riva: name, phase, what its containers wait for.
pods_now() {
  "${KUBECTL[@]}" get pods --request-timeout=10s -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.phase}{range .status.initContainerStatuses[*]}{" "}{.state.waiting.reason}{end}{range .status.containerStatuses[*]}{" "}{.state.waiting.reason}{end}{range .status.conditions[?(@.type=="PodScheduled")]}{" "}{.message}{end}{"\n"}{end}' 2>/dev/null |
    grep -E "^(riva-api|${triton%%:*})" || true
}
last_words() {
  "${KUBECTL[@]}" logs "deployment/${triton%%:*}" --all-containers --tail=1 --request-timeout=10s 2>/dev/null | tail -n 1 | cut -c1-120 || true
}
clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

wait_for_triton() {
  local began now pods words broken=0 limit=$((wait_minutes * 60))
  began=$(date +%s)
  say "waiting for Triton (http://$triton/v2/health/ready), $wait_minutes minutes at most"
  while :; do
    now=$(($(date +%s) - began))
    if triton_ready; then
      say "[$(clock "$now")] Triton is ready"
      break
    fi
    pods=$(pods_now)
    words=$(last_words)
    say "[$(clock "$now") of $(clock "$limit")] $(printf '%s' "${pods:-no pod yet}" | tr '\n' ';' | tr -s ' ')${words:+ | $words}"
    case $pods in
      *ErrImagePull* | *ImagePullBackOff* | *InvalidImageName* | *CreateContainerConfigError*) broken=$((broken + 1)) ;;
      *) broken=0 ;;
    esac
    [ "$broken" -lt "$BROKEN_POLLS" ] ||
      die "a pod cannot start, and waiting will not mend it: kubectl -n $NAMESPACE describe pods. An image that cannot be pulled is mostly a wrong NGC key: run again with --renew-secrets."
    [ "$now" -lt "$limit" ] ||
      die "Triton is not ready after $wait_minutes minutes. It may still come: run this again to go on waiting. Why: kubectl -n $NAMESPACE logs deployment/${triton%%:*} --all-containers --tail=50; docs/runbook.md, Riva starts slowly."
    sleep "$POLL_S"
  done
  now=$(($(date +%s) - began))
  "${KUBECTL[@]}" rollout status deployment/riva-api --timeout=10m ||
    die "Triton is ready and riva-api is not: kubectl -n $NAMESPACE logs deployment/riva-api --tail=50"
  say "Riva serves at riva-api:50051 in the namespace $NAMESPACE (RIVA_URI)"
}

choose_context
need_helm
ensure_namespace
ensure_pull_secret
ensure_riva_secrets
if [ -n "$storage_class" ]; then
  values+=(--set-string "persistentVolumeClaim.storageClassName=$storage_class")
elif ! exists storageclass "$NAMESPACE-local"; then
  say "there is no StorageClass $NAMESPACE-local, which k8s/infra/riva-values.yaml asks: run scripts/deploy_infra.sh first, or give --storage-class NAME"
fi
[ -n "$chart" ] || download_chart
with_our_names <"$ROOT/k8s/infra/riva-values.yaml" |
  change_with "riva-values.yaml" "${HELM[@]}" upgrade --install "$RELEASE" "$chart" --values - ${values[@]+"${values[@]}"} \
    --post-renderer "$here/lib/without_secrets.sh" ||
  die "helm ended with an error; see above. The secrets are made: run this again once it is mended. What helm has done: helm -n $NAMESPACE history $RELEASE"
if [ "$wait_minutes" -gt 0 ] && [ -z "$DRY_RUN" ]; then wait_for_triton; else say "not waiting; watch: kubectl --context $CONTEXT -n $NAMESPACE get pods -w"; fi
