#!/usr/bin/env bash
# Build the images: the gateway, the speech worker (with the responder), the fakes. Push them where told.
# Usage: scripts/build_gateway.sh [OPTIONS] [gateway|speech-worker|fakes]... [-- BUILDER OPTIONS]      all without a name
#   --with docker|podman|buildah   the builder; without it the first of them that works here
#   --registry PREFIX              where the images belong, like registry.example.com/team; without it localhost
#   --tag TAG                      without it the version in pyproject.toml
#   --base-image IMAGE             instead of python:3.11-slim: Debian or Ubuntu, Python 3.11 or newer, pip and venv
#   --platform OS/ARCH[,...]       without it this machine's; several need --push
#   --source URL                   for the label org.opencontainers.image.source
#   --push                         push what was built; needs --registry
#   --dry-run                      say what would be run, and run nothing
# What follows -- goes to the builder. Times inside the images are those of the commit (or SOURCE_DATE_EPOCH).
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*"; }
die() { printf 'build_gateway: %s\n' "$*" >&2; exit "${status:-1}"; }
usage() { sed -n '2,/^set /{s/^# \{0,1\}//p;}' "$0"; }

builder='' registry='' tag='' base='' platform='' source_url='' push='' dry_run=''
names=() extra=()
while [ $# -gt 0 ]; do
  case $1 in
    --with | --registry | --tag | --base-image | --platform | --source)
      [ -n "${2:-}" ] || status=2 die "$1 needs a value; scripts/build_gateway.sh --help lists the options."
      case $1 in
        --with) builder=$2 ;; --registry) registry=${2%/} ;; --tag) tag=$2 ;; --base-image) base=$2 ;;
        --platform) platform=$2 ;; --source) source_url=$2 ;;
      esac
      shift 2 ;;
    --push) push=yes; shift ;;
    --dry-run) dry_run=yes; shift ;;
    -h | --help) usage; exit 0 ;;
    --) shift; extra=("$@"); break ;;
    gateway | speech-worker | fakes) names+=("$1"); shift ;;
    *) status=2 die "'$1' is no image and no option; images are gateway, speech-worker, fakes; --help lists the options." ;;
  esac
done
[ ${#names[@]} -gt 0 ] || names=(gateway speech-worker fakes)

works() { # works BUILDER: it is here, and for docker its daemon answers
  command -v "$1" >/dev/null || return 1
  [ "$1" != docker ] || docker version >/dev/null 2>&1
}
case $builder in
  '')
    for candidate in docker podman buildah; do
      if works "$candidate"; then builder=$candidate; break; fi
    done
    [ -n "$builder" ] || die "neither docker (with a daemon that answers), podman nor buildah is here. Debian and Ubuntu: apt-get install buildah." ;;
  docker | podman | buildah)
    command -v "$builder" >/dev/null || die "there is no $builder here; leave out --with, or install it."
    works "$builder" || die "docker is here, but its daemon does not answer: start it, or choose --with podman or --with buildah." ;;
  *) status=2 die "--with is '$builder'; allowed are docker, podman and buildah." ;;
esac
[ -z "$push" ] || [ -n "$registry" ] || status=2 die "--push needs --registry: where to?"
case $platform in *,*) [ -n "$push" ] || status=2 die "--platform names several; only a registry holds such an image: add --registry and --push." ;; esac

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)
tag=${tag:-$version}
revision='' epoch=${SOURCE_DATE_EPOCH:-}
if git rev-parse --git-dir >/dev/null 2>&1; then
  revision=$(git rev-parse HEAD)
  epoch=${epoch:-$(git log -1 --format=%ct)}
  # The image holds what lies here, committed or not, and says so.
  [ -z "$(git status --porcelain -- services requirements scripts pyproject.toml)" ] || revision+=-dirty
fi
created=''
if [ -n "$epoch" ]; then
  created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$epoch" +%Y-%m-%dT%H:%M:%SZ) # GNU, BSD
fi

run() {
  printf '+'; printf ' %q' "$@"; printf '\n'
  [ -n "$dry_run" ] || "$@"
}

# What the builder needs besides; in `command`.
command_for() { # command_for DOCKERFILE REFERENCE
  command=("$builder" build --file "$1"
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" --build-arg "SOURCE=$source_url")
  [ -z "$base" ] || command+=(--build-arg "PYTHON_IMAGE=$base")
  [ -z "$epoch" ] || command+=(--build-arg "SOURCE_DATE_EPOCH=$epoch")
  [ -z "$platform" ] || command+=(--platform "$platform")
  case $builder in
    docker) [ "$platform" = "${platform/,/}" ] || command=(docker buildx "${command[@]:1}" --push) ;;
    # The docker format, because the other has no HEALTHCHECK.
    *) command+=(--format docker --layers); [ -z "$epoch" ] || command+=(--timestamp "$epoch") ;;
  esac
  case $builder-$platform in
    podman-*,* | buildah-*,*) command+=(--manifest "$2") ;;
    *) command+=(--tag "$2") ;;
  esac
  command+=(${extra[@]+"${extra[@]}"} .)
}

push_image() { # push_image REFERENCE
  case $builder-$platform in
    docker-*,*) ;; # buildx pushed it
    podman-*,* | buildah-*,*) run "$builder" manifest push --all "$1" "docker://$1" ;;
    *) run "$builder" push "$1" ;;
  esac
}

describe() { # describe REFERENCE: its size on this machine and its digest
  case $builder-$platform in *,*) return ;; esac
  local size digest
  case $builder in
    buildah)
      size=$(buildah images --format '{{.Size}}' "$1" | head -n 1)
      digest=$(buildah inspect --type image --format '{{.FromImageDigest}}' "$1") ;;
    *)
      size=$("$builder" image inspect --format '{{.Size}}' "$1" | awk '{printf "%.0f MB", $1 / 1e6}')
      digest=$("$builder" image inspect --format '{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}' "$1") ;;
  esac
  say "$1  $size  ${digest##*@}"
}

say "builder $builder, version $version, revision ${revision:-unknown}, base ${base:-python:3.11-slim}, times ${created:-of this build}"
built=()
for name in "${names[@]}"; do
  case $name in
    gateway) folder=voice-gateway image=voice-gateway ;;
    speech-worker) folder=speech-worker image=voice-speech-worker ;;
    fakes) folder=fakes image=voice-fakes ;;
  esac
  reference=${registry:-localhost}/$image:$tag
  command_for "services/$folder/Dockerfile" "$reference"
  run "${command[@]}"
  [ -z "$push" ] || push_image "$reference"
  built+=("$reference")
done
[ -z "$dry_run" ] || { say "nothing was built: --dry-run"; exit 0; }
say
for reference in "${built[@]}"; do describe "$reference"; done
