# The benchmark. Sourced by ./dev.

readonly BENCH_PACKAGES=(postgresql-15 pgbouncer python3)
readonly BENCH_TARGETS=(dbsidecar load_generator empty_server sidecar_probe libpqxx_load libpq_stream
  sqlite_in_process)

install_bench_packages() {
  local package
  for package in "${BENCH_PACKAGES[@]}"; do
    if ! is_installed "$package"; then
      without_starting_services install_packages "${BENCH_PACKAGES[@]}"
      return
    fi
  done
}

# Debian's PgBouncer package starts a service. The benchmark starts its own; so this installation is
# told to start none. Where a policy is in force already, as in containers, it stays.
without_starting_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [[ -e "$policy" ]]; then
    "$@"
    return
  fi
  # 101 is "forbidden by policy" (invoke-rc.d(8)).
  printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
  # In a subshell: also when it gives up altogether, the policy has to go.
  ("$@") || status=$?
  as_root rm -f "$policy"
  return "$status"
}

run_bench() {
  PYTHONDONTWRITEBYTECODE=1 python3 bench/run.py "$@"
}

# Every row once and briefly. What it prints matters only when it fails.
bench_produces_every_row() {
  local log=build/bench-smoke.log
  run_bench --smoke >"$log" 2>&1 || { tail -n 40 "$log" >&2 && return 1; }
}

bench_is_right_about_figures() {
  PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover --quiet -s bench/tests -t bench
}
