#!/usr/bin/env bash
# Checks the wire contract.
#
#   check.sh lint       names, comments and layout follow the rules in buf.yaml
#   check.sh breaking   nothing that baseline.binpb records was renamed, renumbered, retyped or removed,
#                       and baseline.binpb records everything that is there
#   check.sh rebase     records additions in baseline.binpb; refuses if something breaks
#   check.sh rebase --accept-breaking
#                       the same, without the refusal: only before a first release, or with a new package
#   check.sh prove      shows on altered copies that `breaking` finds what it must
#
# BUF names the buf program to use. Without it, buf is installed once through npm into
# ${XDG_CACHE_HOME:-~/.cache}/dbsidecar; from then on nothing needs the network.
set -euo pipefail

readonly BUF_VERSION=1.75.0
readonly PROTOS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly BASELINE="$PROTOS/baseline.binpb"

usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
}

fail() {
  echo "check.sh: $*" >&2
  exit 1
}

find_buf() {
  if [[ -z "${BUF:-}" ]]; then
    local folder="${XDG_CACHE_HOME:-$HOME/.cache}/dbsidecar/buf-$BUF_VERSION"
    BUF="$folder/node_modules/.bin/buf"
    if [[ ! -x "$BUF" ]]; then
      mkdir -p "$folder"
      npm install --prefix "$folder" --no-audit --no-fund --no-save "@bufbuild/buf@$BUF_VERSION" >&2
    fi
  fi
  local version
  version="$("$BUF" --version)" || fail "cannot run $BUF"
  # Another version may have other rules and may write other bytes.
  [[ "$version" == "$BUF_VERSION" ]] ||
    fail "$BUF is not version $BUF_VERSION, which the baseline was made with"
}

# build FOLDER FILE: writes the descriptors of the contract in FOLDER, without comments.
build() {
  "$BUF" build "$1" --exclude-source-info -o "$2"
}

# keeps_contract FOLDER: true if nothing recorded is broken in FOLDER.
keeps_contract() {
  "$BUF" breaking "$1" --against "$BASELINE"
}

lint() {
  "$BUF" lint "$PROTOS"
}

breaking() {
  [[ -f "$BASELINE" ]] || fail "baseline.binpb is missing"
  keeps_contract "$PROTOS" || fail "the changes above break callers; see README.md"
  build "$PROTOS" "$SCRATCH/now.binpb"
  cmp -s "$SCRATCH/now.binpb" "$BASELINE" ||
    fail "baseline.binpb does not record the latest additions; run: protos/check.sh rebase"
}

rebase() {
  if [[ "${1:-}" != "--accept-breaking" && -f "$BASELINE" ]]; then
    keeps_contract "$PROTOS" || fail "the changes above break callers; see README.md"
  fi
  build "$PROTOS" "$SCRATCH/now.binpb"
  mv "$SCRATCH/now.binpb" "$BASELINE"
}

# must_break WHAT FILE SED_SCRIPT: an altered copy has to be found out.
must_break() {
  local what="$1" file="$2" script="$3" copy="$SCRATCH/copy"
  rm -rf "$copy"
  mkdir "$copy"
  cp -r "$PROTOS"/{buf.yaml,dbsidecar,google,grpc} "$copy/"
  sed -i -E "$script" "$copy/$file"
  cmp -s "$copy/$file" "$PROTOS/$file" && fail "prove: \"$what\" altered nothing"
  # A copy that does not compile would be found out for the wrong reason.
  build "$copy" "$SCRATCH/altered.binpb" || fail "prove: \"$what\" does not compile"
  # 100 is buf's exit status for findings; others are failures of buf itself.
  local status=0
  keeps_contract "$copy" >"$SCRATCH/findings" || status=$?
  [[ $status -eq 100 ]] || fail "prove: \"$what\" was not found (status $status)"
  echo "found: $what"
  sed "s|^.*$file:|    $file:|" "$SCRATCH/findings"
}

prove() {
  keeps_contract "$PROTOS" || fail "prove: the contract is broken already"
  local query=dbsidecar/v1/query.proto
  must_break "a changed field number" "$query" 's/^(  uint32 max_rows = )6;/\160;/'
  must_break "a removed field" "$query" '/^  bool idempotent = 8;/d'
  must_break "a renamed field" "$query" 's/^(  bool )read_only( = 7;)/\1reads_only\2/'
  must_break "a changed field type" dbsidecar/v1/value.proto 's/sint64( int_value = 2;)/int64\1/'
  must_break "a removed enum value" "$query" '/^  ISOLATION_LEVEL_SERIALIZABLE = 3;/d'
  must_break "a removed method" dbsidecar/v1/sidecar.proto '/^  rpc Describe\(/d'
  must_break "a method that no longer streams" dbsidecar/v1/sidecar.proto \
    's/^(  rpc QueryStream.*)\(stream /\1(/'
  must_break "a changed standard" grpc/health/v1/health.proto 's/SERVING = 1;/SERVING = 4;/'
  must_break "another changed standard" google/rpc/error_details.proto 's/domain = 2;/domain = 4;/'
}

main() {
  local verb="${1:-}"
  [[ $# -gt 0 ]] && shift
  case "$verb" in
    lint | breaking | rebase | prove) ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  SCRATCH="$(mktemp -d)"
  trap 'rm -rf "$SCRATCH"' EXIT
  find_buf
  "$verb" "$@"
}

main "$@"
