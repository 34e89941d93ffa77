#!/usr/bin/env bash
# What the builder stage of an image runs: pinned packages, then our own, into one environment that is copied as a whole.
# Usage: scripts/image_packages.sh pins REQUIREMENTS.txt...   what others wrote, hash-checked, as wheels: nothing is compiled
#        scripts/image_packages.sh own PROJECT...             services/PROJECT as wheels, built without a network
#        scripts/image_packages.sh finish NAME                prune, byte code, SBOM; NAME is the image's
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-/opt/voice}
wheels=/build/wheels tools=/build/tools
install=(python3 -m pip --python "$venv/bin/python" --disable-pip-version-check install --quiet --no-cache-dir
  --root-user-action ignore --no-compile --no-deps)

pins() {
  python3 -m venv --without-pip "$venv"
  local files=()
  for file in "$@"; do files+=(-r "$file"); done
  "${install[@]}" --require-hashes --only-binary :all: "${files[@]}"
  # uv builds our own packages: its build backend is part of it, and so pinned with it.
  python3 -m pip --disable-pip-version-check install --quiet --no-cache-dir --root-user-action ignore --no-compile --no-deps \
    --require-hashes --only-binary :all: --target "$tools" -r requirements/bootstrap.txt
}

own() {
  local project
  for project in "$@"; do
    UV_NO_CACHE=1 "$tools/bin/uv" build --quiet --offline --wheel --python "$venv/bin/python" --out-dir "$wheels" "services/$project"
  done
  "${install[@]}" --no-index "$wheels"/*.whl
}

# What no service loads. Tests hold a call against the finished image.
prune() {
  local packages; packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  # silero-vad: eight forms of one model, of which the gateway loads one.
  # Not every image has it.
  if [ -d "$packages/silero_vad" ]; then
    find "$packages/silero_vad/data" -type f ! -name silero_vad.onnx ! -name __init__.py -delete
  fi
  # onnxruntime: converters and quantisers of models, which need torch; its library for C programs, beside the one for Python.
  rm -rf "$packages"/onnxruntime/{transformers,quantization,tools,datasets} "$packages"/onnxruntime/capi/libonnxruntime.so*
  # numpy: the Fortran wrapper generator and C headers; uvloop: the sources of its extension.
  rm -rf "$packages"/numpy/{f2py,distutils,_core/include}
  if [ -d "$packages/uvloop" ]; then
    find "$packages/uvloop" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' \) -delete
  fi
  find "$packages" -type d -name tests -prune -exec rm -rf {} +
  find "$packages" \( -name '*.pyi' -o -name __pycache__ \) -prune -exec rm -rf {} +
  # Commands of packages that nobody calls here; our own stay.
  local own; own=$(cd services && for project in */; do sed -n '/^\[project.scripts\]/,/^$/s/^\([a-z-]*\) = .*/\1/p' "$project/pyproject.toml"; done)
  find "$venv/bin" -mindepth 1 ! -name 'python*' | while read -r command; do
    grep -qx "$(basename "$command")" <<<"$own" || rm -rf "$command"
  done
}

finish() {
  local name=$1
  prune
  # Byte code that is never compared with its source: the image does not change, and its file times may.
  "$venv/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$venv/lib"
  mkdir -p /usr/share/sbom
  "$venv/bin/python" -B scripts/image_sbom.py "$name" >"/usr/share/sbom/$name.cdx.json"
}

command=${1:-}
case $command in
  pins | own | finish) shift; "$command" "$@" ;;
  *) echo "usage: scripts/image_packages.sh pins REQUIREMENTS.txt... | own PROJECT... | finish NAME" >&2; exit 2 ;;
esac
