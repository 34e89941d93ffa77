#!/usr/bin/env bash
# A post-renderer for Helm 3: takes the secrets out that deploy_riva.sh has made itself, so that the chart neither owns nor empties them.
set -euo pipefail
awk '
  function flush() { if (!(document ~ /(^|\n)kind: Secret *\n/ && document ~ ours)) printf "%s", document; document = "" }
  BEGIN { ours = "\n  name: \"?(imagepullsecret|modelpullsecret|riva-model-deploy-key)\"? *\n" }
  /^---/ { flush(); document = "---\n"; next }
  { document = document $0 "\n" }
  END { flush() }'
