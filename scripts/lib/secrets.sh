# shellcheck shell=bash disable=SC2034  # variables are for the scripts that source this
# Sourced after cluster.sh: the secrets that NVIDIA's images and models need. Values travel on standard input only: never in arguments,
# output, files or the annotation of `kubectl apply` (server-side apply writes none).
NGC_KEY_FILE=
RENEW_SECRETS=
KEY=

# secret_option WORDS...: takes --ngc-key-file and --renew-secrets; as cluster_option.
secret_option() {
  TAKEN=1
  case $1 in
    --ngc-key-file) NGC_KEY_FILE=$(value_of "$@") || exit 2; TAKEN=2 ;;
    --ngc-key-file=*) NGC_KEY_FILE=${1#*=} ;;
    --renew-secrets) RENEW_SECRETS=1 ;;
    *) return 1 ;;
  esac
}

# read_ngc_key: sets KEY from --ngc-key-file, NGC_API_KEY or a person, asked once.
read_ngc_key() {
  [ -z "$KEY" ] || return 0
  if [ -n "$NGC_KEY_FILE" ]; then
    need_file "$NGC_KEY_FILE"
    KEY=$(tr -d '\r\n' <"$NGC_KEY_FILE")
    [ -n "$KEY" ] || die "$NGC_KEY_FILE is empty."
  elif [ -n "${NGC_API_KEY:-}" ]; then
    KEY=$NGC_API_KEY
  elif is_interactive; then
    printf 'NGC API key (not shown): ' >&2
    IFS= read -rs KEY || KEY=
    printf '\n' >&2
  fi
  [ -n "$KEY" ] ||
    die "an NGC API key is needed: set NGC_API_KEY or give --ngc-key-file FILE. Make one at https://org.ngc.nvidia.com/setup/api-keys (service: NGC Catalog)."
  case $KEY in
    *[!A-Za-z0-9._=+/-]*) die "the NGC API key holds a blank, a quote or another character that no such key has." ;;
  esac
}

encoded() { base64 | tr -d '\n'; }

# secret_manifest NAME TYPE: lines `key value-in-base64` on standard input become a Secret.
secret_manifest() {
  local key value
  printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  labels:\n    app.kubernetes.io/part-of: voice-workflow\ntype: %s\ndata:\n' "$1" "$2"
  while read -r key value; do printf '  %s: %s\n' "$key" "$value"; done
}

# apply_secret NAME TYPE KEYS: the manifest on standard input; KEYS are told.
apply_secret() {
  change_with "Secret $1 ($3)" "${KUBECTL[@]}" apply --server-side --force-conflicts --field-manager=voice-workflow -f - || die "the secret $1 could not be made; see above."
}

# wants_secret NAME: it is missing, or new ones were asked for.
wants_secret() {
  [ -n "$RENEW_SECRETS" ] && return 0
  if exists secret "$1"; then
    say "secret $1 is there and stays (--renew-secrets makes it again)"
    return 1
  fi
}

# A dry run needs no key: the command is shown, and its input is thrown away.
key_or_nothing() { [ -n "$DRY_RUN" ] || read_ngc_key; }

# ensure_pull_secret: to pull images from nvcr.io.
ensure_pull_secret() {
  wants_secret imagepullsecret || return 0
  key_or_nothing
  # shellcheck disable=SC2016  # $oauthtoken is the user's name there, as it stands
  printf '.dockerconfigjson %s\n' "$(printf '{"auths":{"nvcr.io":{"username":"$oauthtoken","password":"%s","auth":"%s"}}}' "$KEY" \
    "$(printf '$oauthtoken:%s' "$KEY" | encoded)" | encoded)" |
    secret_manifest imagepullsecret kubernetes.io/dockerconfigjson |
    apply_secret imagepullsecret kubernetes.io/dockerconfigjson ".dockerconfigjson for nvcr.io"
}

# ensure_ngc_secret: what NIMs read. Older charts call the key NGC_CLI_API_KEY.
ensure_ngc_secret() {
  wants_secret ngc-api || return 0
  key_or_nothing
  local value
  value=$(printf '%s' "$KEY" | encoded)
  printf 'NGC_API_KEY %s\nNGC_CLI_API_KEY %s\n' "$value" "$value" | secret_manifest ngc-api Opaque |
    apply_secret ngc-api Opaque "NGC_API_KEY, NGC_CLI_API_KEY"
}

# ensure_riva_secrets: what the model init container of Riva's chart reads. RIVA_MODEL_DEPLOY_KEY is for models encrypted with another key
# than NVIDIA's published one.
ensure_riva_secrets() {
  if wants_secret modelpullsecret; then
    key_or_nothing
    printf 'apikey %s\n' "$(printf '%s' "$KEY" | encoded)" | secret_manifest modelpullsecret Opaque | apply_secret modelpullsecret Opaque apikey
  fi
  if wants_secret riva-model-deploy-key; then
    printf 'key %s\n' "$(printf '%s' "${RIVA_MODEL_DEPLOY_KEY:-tlt_encode}" | encoded)" | secret_manifest riva-model-deploy-key Opaque |
      apply_secret riva-model-deploy-key Opaque key
  fi
}
