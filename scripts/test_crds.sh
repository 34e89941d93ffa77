#!/usr/bin/env bash
# Teaches the cluster that KUBECONFIG names the kinds that the chart and k8s/infra use and that Kubernetes itself lacks, so that
# its API server can check what we give it. Schemas only: no operator and no controller is installed, and nothing acts on such objects.
# Usage: scripts/test_crds.sh [install | remove | list]     install, unless told otherwise
#   install  kinds that are missing, from their projects' Go modules. What is there, of whatever version, stays as it is.
#   remove   what `install` made, and nothing else; a kind of which there are objects stays
#   list     which of the kinds the cluster knows, one name a line
# Needs kubectl, Go, and a Go module proxy the first time (`go env GOPROXY`); later the modules come from Go's cache.
# The NIM Operator cannot be had as a module: the tags of its releases do not fit its path. VOICE_TEST_NIM_OPERATOR names a
# folder with a checkout of github.com/NVIDIA/k8s-nim-operator (v3.1.2 was tried); without it its kinds are left out.
set -euo pipefail

# Module and version, the sum that Go has for it (what comes is compared), and where in it the kinds are described.
# The newest that Go 1.26 reads; the root module of the Prometheus operator is not served in a later version.
MODULES='
sigs.k8s.io/gateway-api@v1.6.3 h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc= config/crd/standard
github.com/kedacore/keda/v2@v2.21.0 h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps= config/crd/bases
github.com/prometheus-operator/prometheus-operator@v0.85.0 h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s= example/prometheus-operator-crd
github.com/cert-manager/cert-manager@v1.21.2 h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68= deploy/crds
'
# Those of their kinds that we render: name of the kind's definition, and the file in one of the folders above.
KINDS='
grpcroutes.gateway.networking.k8s.io gateway.networking.k8s.io_grpcroutes.yaml
backendtlspolicies.gateway.networking.k8s.io gateway.networking.k8s.io_backendtlspolicies.yaml
scaledobjects.keda.sh keda.sh_scaledobjects.yaml
servicemonitors.monitoring.coreos.com monitoring.coreos.com_servicemonitors.yaml
prometheusrules.monitoring.coreos.com monitoring.coreos.com_prometheusrules.yaml
certificates.cert-manager.io cert-manager.io_certificates.yaml
nimcaches.apps.nvidia.com apps.nvidia.com_nimcaches.yaml
nimservices.apps.nvidia.com apps.nvidia.com_nimservices.yaml
'
MINE=voice-workflow.test/crds=true

die() { echo "test_crds: $*" >&2; exit 2; }

# known [OPTION ...]: names of our kinds that the cluster knows.
known() {
  kubectl get crd "$@" -o name | sed 's|.*/||' | awk 'NR == FNR { ours[$1]; next } $1 in ours' <(echo "$KINDS") -
}

# folders: where the descriptions are on this machine, one a line.
folders() {
  local go module sum path answer
  go=$(command -v go || command -v "${GOROOT:-/usr/local/go}/bin/go") ||
    die "Go is needed (https://go.dev/dl): the kinds are described in Go modules. It is neither on PATH nor in ${GOROOT:-/usr/local/go}."
  while read -r module sum path; do
    [ -n "$module" ] || continue
    # Not in a module of somebody's: Go would look into the go.mod of the folder that this is called from.
    answer=$(cd "$scratch" && "$go" mod download -json "$module" 2>&1) ||
      die "$module did not come from the Go module proxy ($("$go" env GOPROXY)): $(sed -n 's/.*"Error": //p' <<<"$answer")"
    [ "$(sed -n 's/.*"Sum": "\(.*\)".*/\1/p' <<<"$answer")" = "$sum" ] || die "$module is not what it was: its sum is not $sum."
    echo "$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$answer")/$path"
  done <<<"$MODULES"
  if [ -n "${VOICE_TEST_NIM_OPERATOR:-}" ]; then
    [ -d "$VOICE_TEST_NIM_OPERATOR/config/crd/bases" ] || die "VOICE_TEST_NIM_OPERATOR=$VOICE_TEST_NIM_OPERATOR holds no config/crd/bases."
    echo "$VOICE_TEST_NIM_OPERATOR/config/crd/bases"
  fi
}

install() {
  local have name file folder places='' files=() made=()
  have=$(known)
  while read -r name file; do
    if [ -z "$name" ] || grep -qFx "$name" <<<"$have"; then continue; fi
    case $name in *.nvidia.com) [ -n "${VOICE_TEST_NIM_OPERATOR:-}" ] || continue ;; esac
    [ -n "$places" ] || places=$(folders) || exit 2
    made+=("crd/$name")
    while read -r folder; do
      if [ -f "$folder/$file" ]; then files+=(-f "$folder/$file"); fi
    done <<<"$places"
  done <<<"$KINDS"
  if [ ${#made[@]} -gt 0 ]; then
    [ ${#files[@]} = $((2 * ${#made[@]})) ] || die "not every file of ${made[*]} is where it was: ${files[*]}"
    # On the server's side: some are too long for the annotation that kubectl keeps otherwise.
    kubectl label --local "${files[@]}" "$MINE" -o json | kubectl apply --server-side -f - >/dev/null
    # Twice: kubectl gives up at once on a kind that has no status yet.
    local established=(kubectl wait --for=condition=Established --timeout=30s "${made[@]}")
    "${established[@]}" >/dev/null 2>&1 || { sleep 1; "${established[@]}" >/dev/null; }
  fi
  echo "== kinds: $(known | paste -sd ' ' -)"
}

remove() {
  local name
  for name in $(known -l "$MINE"); do
    if [ -n "$(kubectl get "$name" --all-namespaces -o name)" ]; then
      echo "test_crds: $name stays: there are objects of it, which would go with it" >&2
    else
      kubectl delete crd "$name" >/dev/null
    fi
  done
}

[ -n "${KUBECONFIG:-}" ] || die "which cluster? Set KUBECONFIG to its file."
command -v kubectl >/dev/null || die "kubectl is not on PATH."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
case ${1:-install} in
  install) install ;;
  remove) remove ;;
  list) known ;;
  *) sed -n '2,11s/^# //p' "$0" >&2; exit 2 ;;
esac
