#!/usr/bin/env bash
# Make .venv with the pinned packages of one requirements file and this repository's own packages.
# Usage: scripts/setup.sh run|dev      PYTHON=python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:?usage: scripts/setup.sh run|dev}
python=${PYTHON:-python3}
say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

# dev holds everything that run holds: what is installed for dev also serves run.
stamp_of() { cat requirements/"$1".txt services/*/pyproject.toml "$0" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-64; }
for done_set in "$set_name" dev; do
  [ "$(cat ".venv/.setup-$done_set" 2>/dev/null)" = "$(stamp_of "$done_set")" ] && exit 0
done

command -v "$python" >/dev/null || die "no $python found. Install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "$("$python" --version) is too old: Python 3.11 or newer is needed. Name another with PYTHON=/path/to/python3.12."

if [ ! -x .bootstrap/bin/uv ]; then
  say "setup: getting uv into .bootstrap (the system's own Python stays untouched)"
  rm -rf .bootstrap
  "$python" -m venv .bootstrap || { rm -rf .bootstrap; die "this Python has no working venv module. Debian and Ubuntu: apt-get install python3-venv"; }
  .bootstrap/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt ||
    { rm -rf .bootstrap; die "uv could not be installed; is a package index reachable?"; }
fi

uv=.bootstrap/bin/uv
[ -x .venv/bin/python ] || "$uv" venv --quiet --python "$(command -v "$python")" .venv
say "setup: installing the pinned packages ($set_name)"
"$uv" pip install --quiet --python .venv/bin/python --require-hashes -r "requirements/$set_name.txt"
editable=()
for project in services/*/; do editable+=(-e "$project"); done
"$uv" pip install --quiet --python .venv/bin/python --no-deps "${editable[@]}"
stamp_of "$set_name" >".venv/.setup-$set_name"
