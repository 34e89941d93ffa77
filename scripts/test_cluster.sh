#!/usr/bin/env bash
# The tests of tests/cluster, on whatever cluster KUBECONFIG names: they install the chart into namespaces of their own,
# take calls through upgrades, killed pods and drained nodes, and delete what they made.
# Usage: scripts/test_cluster.sh [--no-build] [--images 'localhost/%:dev'] [--load 'COMMAND'] [arguments of pytest]
#   --images   names of the images; % stands for voice-gateway, voice-speech-worker and voice-fakes
#   --load     brings images to the nodes; the names follow: 'kind load docker-image', 'minikube image load'
#   --no-build the images are there already
# What the API server must know to check all of our manifests (Gateway API, KEDA and the like) scripts/test_crds.sh teaches it
# before, and takes away afterwards. Where it cannot, that is said and the rest runs.
# VOICE_TEST_NETWORK_POLICIES=1: the cluster has an engine that enforces NetworkPolicies, and ours are tried.
# VOICE_TEST_NODE_DOWN and VOICE_TEST_NODE_UP: commands that take a node's power away and give it back, node's name last.
set -euo pipefail
cd "$(dirname "$0")/.."
images='localhost/%:dev' load='' build=true
while [ $# -gt 0 ]; do
  case $1 in
    --images | --load) [ $# -ge 2 ] || { echo "test_cluster: $1 needs a value; --help lists the options." >&2; exit 2; } ;;
  esac
  case $1 in
    --no-build) build=false ;;
    --images) images=$2; shift ;;
    --load) load=$2; shift ;;
    --help | -h) sed -n '2,12s/^# //p' "$0"; exit 0 ;;
    *) break ;;
  esac
  shift
done
for tool in kubectl helm; do
  command -v "$tool" >/dev/null || { echo "test_cluster: $tool is not on PATH" >&2; exit 2; }
done
# They kill pods and drain nodes: a cluster is named for that, and not found in ~/.kube/config.
[ -n "${KUBECONFIG:-}" ] || { echo "test_cluster: which cluster? Set KUBECONFIG to its file. Pods are killed there, and nodes drained." >&2; exit 2; }
if [ "$(kubectl get --raw /readyz 2>&1)" != ok ]; then
  echo "test_cluster: kubectl reaches no cluster by KUBECONFIG=$KUBECONFIG" >&2
  exit 2
fi
echo "== cluster: context $(kubectl config current-context), $(kubectl get nodes --no-headers | wc -l) nodes"
names=()
for name in voice-gateway voice-speech-worker voice-fakes; do names+=("${images//%/$name}"); done
if $build; then
  tag=${images##*:} prefix=${images%%/%*}
  scripts/build_gateway.sh --tag "$tag" --registry "$prefix"
fi
trap 'scripts/test_crds.sh remove' EXIT
scripts/test_crds.sh install || echo "NOT INSTALLED: all kinds that the manifests have, for the reason above; the tests take those that the cluster knows"
kinds=$(scripts/test_crds.sh list | paste -sd ' ' -)
for group in gateway.networking.k8s.io keda.sh monitoring.coreos.com cert-manager.io apps.nvidia.com; do
  case $kinds in *".$group"*) ;; *) echo "NOT RUN: tests/cluster/test_manifests.py for what has kinds of $group, which this cluster does not know" ;; esac
done
[ "${VOICE_TEST_NETWORK_POLICIES:-}" = 1 ] ||
  echo "NOT RUN: tests/cluster/test_enforced_policies.py: nothing says that this cluster enforces them (VOICE_TEST_NETWORK_POLICIES=1)"
export VOICE_TEST_KINDS=$kinds
# Word by word: the command has arguments.
# shellcheck disable=SC2086
[ -z "$load" ] || $load "${names[@]}"
VOICE_TESTS_CLUSTER=1 VOICE_TEST_IMAGES=$images .venv/bin/pytest -v -p no:xdist tests/cluster "$@"
