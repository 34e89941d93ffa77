# shellcheck shell=bash disable=SC2034  # variables are for the scripts that source this
# Sourced by the scripts that work on a cluster: how they speak, fail, and show what they would do. Works with bash 3.2.
VERB=$(basename "$0" .sh)
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DRY_RUN=
ASSUME_YES=
TEMPORARY=

say() { printf '%s: %s\n' "$VERB" "$*" >&2; }
die() { say "$*"; exit 1; }
usage_error() { say "$*  (scripts/$VERB.sh --help)"; exit 2; }

# The comment at the head of the script is its help.
show_help() {
  awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
  exit 0
}

# need TOOL...: or tell which is missing, and how to get it.
need() {
  local tool how
  for tool in "$@"; do
    command -v "$tool" >/dev/null 2>&1 && continue
    case $tool in
      kubectl) how="https://kubernetes.io/docs/tasks/tools/ (macOS: brew install kubectl)" ;;
      helm) how="https://helm.sh/docs/intro/install/ (macOS: brew install helm); version 3.15 or newer" ;;
      python3) how="Python 3.8 or newer (macOS: brew install python@3.12; Debian: apt-get install python3)" ;;
      *) how="install it with this machine's package manager" ;;
    esac
    die "$tool is not on the PATH: $how."
  done
}

# need_file FILE: a file of the user's that is there and can be read.
need_file() { [ -r "$1" ] && [ ! -d "$1" ] || die "$1 is not a file that can be read."; }

# A folder for this run alone, gone when the script ends. Sets TEMPORARY.
make_temporary() {
  [ -n "$TEMPORARY" ] && return 0
  TEMPORARY=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/$VERB.XXXXXX")
  trap 'remove_temporary' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}
remove_temporary() {
  [ -z "$TEMPORARY" ] || rm -rf "$TEMPORARY"
  TEMPORARY=
}

# shown WORDS...: a command as it could be typed.
shown() {
  local word line='+'
  for word in "$@"; do
    case $word in
      '' | *[!A-Za-z0-9_./:=,@%+-]*) line="$line $(printf '%q' "$word")" ;;
      *) line="$line $word" ;;
    esac
  done
  printf '%s\n' "$line"
}

# change COMMAND...: what changes something is shown, and with --dry-run only shown.
change() {
  if [ -n "$DRY_RUN" ]; then
    shown "$@"
  else
    shown "$@" >&2
    "$@"
  fi
}

# change_with WHAT COMMAND...: the same for a command that reads its input; WHAT tells what that is, and is all that is shown of it.
change_with() {
  local what=$1
  shift
  if [ -n "$DRY_RUN" ]; then
    printf '%s    # its input: %s\n' "$(shown "$@")" "$what"
    cat >/dev/null
  else
    printf '%s    # its input: %s\n' "$(shown "$@")" "$what" >&2
    "$@"
  fi
}

is_interactive() { [ -t 0 ] && [ -t 2 ]; }

# confirm QUESTION: yes by --yes or by a person; without either the script stops.
confirm() {
  [ -n "$ASSUME_YES" ] || [ -n "$DRY_RUN" ] || ask "$1" || die "nothing was changed."
}
ask() {
  local answer
  is_interactive || die "$1 Nobody is at a terminal to answer: give --yes."
  printf '%s [y/N] ' "$1" >&2
  read -r answer || answer=
  case $answer in y | Y | yes | Yes) return 0 ;; *) return 1 ;; esac
}

# is_whole TEXT: a whole number of 0 or more.
is_whole() { case $1 in '' | *[!0-9]*) return 1 ;; *) return 0 ;; esac; }
