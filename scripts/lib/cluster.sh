# shellcheck shell=bash disable=SC2034  # variables are for the scripts that source this
# Sourced after common.sh: which cluster and namespace. A context is never taken because it happens to be the current one.
CONTEXT=${KUBE_CONTEXT:-}
NAMESPACE=voice-workflow
CONFIG_MAP=voice-gateway-config
SELECTOR=app=voice-gateway
REACH_S=10
KUBECTL=()
HELM=()
TAKEN=0

# cluster_option WORDS...: takes --context, --namespace, --dry-run, --yes and --help from the front; TAKEN says how many words that were.
# Returns 1 where the word is another.
cluster_option() {
  TAKEN=1
  case $1 in
    --context) CONTEXT=$(value_of "$@") || exit 2; TAKEN=2 ;;
    --context=*) CONTEXT=${1#*=} ;;
    --namespace | -n) NAMESPACE=$(value_of "$@") || exit 2; TAKEN=2 ;;
    --namespace=*) NAMESPACE=${1#*=} ;;
    --dry-run) DRY_RUN=1 ;;
    --yes | -y) ASSUME_YES=1 ;;
    --help | -h) show_help ;;
    *) return 1 ;;
  esac
}

# value_of OPTION VALUE...: the value, or a sentence where there is none.
value_of() {
  if [ $# -lt 2 ]; then usage_error "$1 needs a value."; fi
  printf '%s' "$2"
}

# choose_context: sets KUBECTL and HELM, each with context and namespace, once the cluster has answered.
choose_context() {
  local current known named server problem
  need kubectl
  case $NAMESPACE in
    '' | *[!a-z0-9-]* | -* | *-) usage_error "--namespace $NAMESPACE: small letters, digits and hyphens." ;;
  esac
  known=$(kubectl config get-contexts -o name 2>/dev/null || true)
  named=$(printf '%s' "$known" | tr '\n' ' ')
  current=$(kubectl config current-context 2>/dev/null || true)
  if [ -z "$CONTEXT" ]; then
    [ -n "$known" ] || die "kubectl knows no cluster: set KUBECONFIG to the cluster's kubeconfig, or copy it to ~/.kube/config."
    if [ -z "$current" ] || ! is_interactive; then
      die "which cluster? Give --context NAME or set KUBE_CONTEXT. Known here: $named." \
        "${current:+The current one, $current, is not taken without being named.}"
    fi
    ask "No --context was given. Use the current one, $current?" || die "nothing was changed."
    CONTEXT=$current
  fi
  # (Not by `grep -q`: it leaves early, and the writer's broken pipe would count as a failure.)
  case $'\n'$known$'\n' in
    *$'\n'"$CONTEXT"$'\n'*) ;;
    *) die "there is no context $CONTEXT. Known here: ${named:-none (is KUBECONFIG set?)}." ;;
  esac
  KUBECTL=(kubectl --context "$CONTEXT" --namespace "$NAMESPACE")
  HELM=(helm --kube-context "$CONTEXT" --namespace "$NAMESPACE")
  server=$(kubectl config view --minify --context "$CONTEXT" -o 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null || true)
  problem=$("${KUBECTL[@]}" get --raw /version --request-timeout="${REACH_S}s" 2>&1 >/dev/null) ||
    die "context $CONTEXT ($server) does not answer: ${problem##*$'\n'}"
  say "context $CONTEXT (${server:-address unknown}), namespace $NAMESPACE${DRY_RUN:+, dry run: nothing is changed}"
}

# need_helm: Helm of a version that keeps earlier values under new defaults, and secrets out of a dry run's output.
need_helm() {
  local version minor
  need helm
  version=$(helm version --template '{{.Version}}' 2>/dev/null || true)
  case $version in
    v3.*)
      minor=${version#v3.}
      minor=${minor%%.*}
      is_whole "$minor" && [ "$minor" -ge 15 ] || die "helm $version is too old: 3.15 or newer is needed."
      ;;
    v4.*) say "helm $version: these scripts were tried with helm 3 only." ;;
    *) die "helm does not tell its version (it said: ${version:-nothing})." ;;
  esac
}

# exists KIND NAME: whether it is there. Any other problem than its absence ends the script.
exists() {
  local found
  found=$("${KUBECTL[@]}" get "$1" "$2" --ignore-not-found -o name) || die "whether $1 $2 exists could not be asked; see above."
  [ -n "$found" ]
}

# with_our_names [NODE]: a manifest of k8s/infra for this namespace (and node): names, folders and storage class follow the namespace.
with_our_names() {
  local node=${1:-node001}
  sed -e '/^ *#/!s/voice-workflow/'"$NAMESPACE"'/g' -e '/^ *#/!s/\[node001\]/['"$node"']/' |
    sed -e 's|part-of: '"$NAMESPACE"'$|part-of: voice-workflow|'
}

# ensure_namespace: with the labels of k8s/infra/00-namespace-pvc.yaml where it has to be made; one that is there stays as it is.
ensure_namespace() {
  exists namespace "$NAMESPACE" && return 0
  awk '/^---/ { exit } { print }' "$ROOT/k8s/infra/00-namespace-pvc.yaml" | with_our_names |
    change_with "Namespace $NAMESPACE" "${KUBECTL[@]}" apply -f -
}
