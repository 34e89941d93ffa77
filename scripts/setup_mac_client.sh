#!/usr/bin/env bash
# Set up the voice client, and nothing else, on a Mac (or on Linux): a folder of its own that uv runs.
# Usage: scripts/setup_mac_client.sh [FOLDER]        FOLDER is ~/Desktop/voice-client unless given.
#   PYTHON=/path/to/python3.12 chooses the interpreter; UV=/path/to/uv chooses uv.
# Running it again updates the folder. Works with the bash 3.2 of macOS.
set -euo pipefail
source_folder=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$HOME/Desktop/voice-client}
say() { printf '%s\n' "$*"; }
die() { printf 'setup_mac_client: %s\n' "$*" >&2; exit 1; }

case $folder in -*) die "usage: scripts/setup_mac_client.sh [FOLDER]" ;; esac
[ $# -le 1 ] || die "usage: scripts/setup_mac_client.sh [FOLDER]"
for needed in services/clients services/contracts requirements/client.txt requirements/bootstrap.txt scripts/test_mic_client.py scripts/tunnel.sh; do
  [ -e "$source_folder/$needed" ] || die "$source_folder/$needed is missing: run this script from a whole checkout of the repository."
done
if [ -e "$folder" ] && [ ! -e "$folder/.voice-client" ] && [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
  die "$folder holds other files: give another folder, or move them away."
fi

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
python=
if [ -n "${PYTHON:-}" ]; then
  is_new_enough "$PYTHON" && python=$PYTHON
else
  for candidate in python3.13 python3.12 python3.11 python3.14 python3 /opt/homebrew/bin/python3 /usr/local/bin/python3; do
    if is_new_enough "$candidate"; then python=$(command -v "$candidate"); break; fi
  done
fi
[ -n "$python" ] || die "${PYTHON:-What this machine calls python3} is not Python 3.11 or newer. macOS: brew install python@3.12, or the installer of python.org; Debian and Ubuntu: apt-get install python3 python3-venv."

mkdir -p "$folder" || die "$folder cannot be made."
folder=$(cd "$folder" && pwd)
touch "$folder/.voice-client"

uv=${UV:-$(command -v uv || true)}
run_uv="uv"
if [ -z "$uv" ]; then
  uv=$folder/.bootstrap/bin/uv
  run_uv="./uv"
  if [ ! -x "$uv" ]; then
    say "getting uv into $folder/.bootstrap (the system's own Python stays untouched)"
    rm -rf "$folder/.bootstrap"
    "$python" -m venv "$folder/.bootstrap" || die "this Python has no working venv module. Debian and Ubuntu: apt-get install python3-venv."
    "$folder/.bootstrap/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
      -r "$source_folder/requirements/bootstrap.txt" || die "uv could not be installed; is a package index reachable?"
  fi
  ln -sf .bootstrap/bin/uv "$folder/uv"
fi

say "copying the client into $folder"
rm -rf "$folder/packages"
mkdir -p "$folder/packages/clients" "$folder/packages/contracts"
for package in clients contracts; do
  cp "$source_folder/services/$package/pyproject.toml" "$folder/packages/$package/"
  (cd "$source_folder/services/$package" && find src -type f ! -name '*.pyc' -print) | while IFS= read -r file; do
    mkdir -p "$folder/packages/$package/$(dirname "$file")"
    cp "$source_folder/services/$package/$file" "$folder/packages/$package/$file"
  done
done
cp "$source_folder/scripts/test_mic_client.py" "$source_folder/scripts/tunnel.sh" "$folder/"
cp "$source_folder/requirements/client.txt" "$folder/requirements.txt"

# The pins of the repository hold here too: uv resolves within them and records hashes in uv.lock.
pins=$(sed -n 's/^\([A-Za-z0-9_.-]*==[^\\]*[^\\ ]\) *\\*$/  "\1",/p' "$folder/requirements.txt")
cat >"$folder/pyproject.toml" <<END
# Made by scripts/setup_mac_client.sh of voice-workflow; run that again to update.
[project]
name = "voice-client"
version = "0"
requires-python = ">=3.11"
dependencies = ["voice-clients[duplex]", "voice-contracts"]

[tool.uv]
package = false
constraint-dependencies = [
$pins
]

[tool.uv.sources]
voice-clients = { path = "packages/clients" }
voice-contracts = { path = "packages/contracts" }
END

say "installing the pinned packages"
rm -f "$folder/uv.lock"
(cd "$folder" && UV_PYTHON=$python "$uv" sync --quiet --reinstall-package voice-clients --reinstall-package voice-contracts) ||
  die "the packages could not be installed; is a package index reachable?"
"$folder/.venv/bin/python" "$folder/test_mic_client.py" --help >/dev/null || die "the client does not start; see the lines above."

sound=$("$folder/.venv/bin/python" "$folder/test_mic_client.py" --devices 2>&1 >/dev/null || true)
say ""
say "The client is ready. In one terminal, open the tunnel:"
say "  \"$folder/tunnel.sh\" user@headnode"
say "In another, talk (open speakers will do; the client takes the answer out of the microphone):"
say "  cd \"$folder\" && $run_uv run test_mic_client.py"
say "Is everything there?  $run_uv run test_mic_client.py --check"
[ -z "$sound" ] || say "About sound on this machine: ${sound#voice: }"
