#!/bin/sh
# Builds grpcurl and grpc_health_probe with the Go toolchain into build/tools, unless these versions
# are there. Called by ./dev before the tests, and by the tests that need the programs.
# Exit codes: 0 = both are there, 3 = there is no Go toolchain, 1 = a build failed.
set -eu

# These versions build with Debian 12's Go as well as with newer ones.
grpcurl=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9
grpc_health_probe=github.com/grpc-ecosystem/grpc-health-probe@v0.4.14

cd "$(dirname "$0")/../.."
mkdir -p build/tools
cd build/tools

# go names a program after its path; people know the probe by the other name.
if [ -x grpcurl ] && [ -x grpc_health_probe ] &&
  [ "$(cat versions 2>/dev/null)" = "$grpcurl $grpc_health_probe" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  echo "grpc_tools.sh: no Go toolchain in PATH; install Go to build grpcurl and grpc_health_probe" >&2
  exit 3
fi
# No C compiler is needed, and none of the caller's flags apply.
unset GOFLAGS
export GOBIN="$PWD" CGO_ENABLED=0
go install "$grpcurl" || exit 1
go install "$grpc_health_probe" || exit 1
ln -sf grpc-health-probe grpc_health_probe
echo "$grpcurl $grpc_health_probe" >versions
