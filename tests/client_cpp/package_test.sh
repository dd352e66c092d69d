#!/usr/bin/env bash
# package_test.sh BUILD EXAMPLES SIDECAR: installs the package from BUILD into an empty prefix, builds
# a copy of the examples against it as a project of its own, and runs one against the real sidecar.
set -euo pipefail

build="$1" examples="$2" sidecar="$3"
scratch="$(mktemp -d)"
# What the test runner has set must not configure the sidecar.
unset "${!DBSIDECAR_@}"
sidecar_pid=""
finish() {
  [[ -z "$sidecar_pid" ]] || kill "$sidecar_pid" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

cmake --install "$build" --component client --prefix "$scratch/prefix" >"$scratch/install.log"
# The public headers must need nothing that is not installed with them.
! grep -rlE 'grpc|google/protobuf|\.pb\.h' "$scratch/prefix/include" ||
  { echo "a public header names gRPC or Protobuf" >&2 && exit 1; }

cp -r "$examples" "$scratch/project"
cmake -S "$scratch/project" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Wshadow -Werror ${PACKAGE_TEST_FLAGS:-}" >"$scratch/configure.log" ||
  { cat "$scratch/configure.log" >&2 && exit 1; }
cmake --build "$scratch/build" --parallel 2

cd "$scratch"
DATABASE_URL="sqlite:$scratch/test.db" "$sidecar" serve --profile test \
  --listen "unix:$scratch/socket" >"$scratch/sidecar.log" 2>&1 &
sidecar_pid=$!
DBSIDECAR_ADDR="unix:$scratch/socket" "$sidecar" wait --timeout 60s || { cat "$scratch/sidecar.log" >&2 && exit 1; }
output="$("$scratch/build/first_query" "unix:$scratch/socket")"
echo "$output"

[[ "$output" == *"pear costs 0.5, from Fiesole"*"quince costs 1.25, from who knows where"*"(23505)"* ]]
