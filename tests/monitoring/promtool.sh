#!/usr/bin/env bash
# promtool.sh ARGUMENT...: Prometheus' own tool; 77, for ctest to skip the test, where it is not installed.
set -euo pipefail
command -v promtool >/dev/null || { echo "promtool is not installed" && exit 77; }
exec promtool "$@"
