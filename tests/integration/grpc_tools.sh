#!/bin/sh
# Builds grpcurl and grpc_health_probe with the Go toolchain into a folder (default: build/tools).
# Exit codes: 0 = both are there, 3 = there is no Go toolchain, 1 = a build failed.
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-build/tools}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [ -x "$folder/grpcurl" ] && [ -x "$folder/grpc-health-probe" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  echo "grpc_tools.sh: no Go toolchain in PATH; install Go to build grpcurl and grpc_health_probe" >&2
  exit 3
fi
export GOBIN="$folder"
# No C compiler is needed, and none of the caller's flags apply.
export CGO_ENABLED=0
go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3 || exit 1
go install github.com/grpc-ecosystem/grpc-health-probe@v0.4.61 || exit 1
