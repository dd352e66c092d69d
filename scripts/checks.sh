# Checks that need no test program. Sourced by ./dev.

# our_files PATTERN...: tracked and new files that match, each ended by a NUL.
our_files() {
  git ls-files -z --cached --others --exclude-standard -- "$@" |
    while IFS= read -r -d '' file; do
      if [[ -f "$file" ]]; then printf '%s\0' "$file"; fi
    done
}

# run_check NAME PROGRAM FUNCTION [ARGUMENT...]: skipped without the program.
run_check() {
  local name="$1" program="$2"
  shift 2
  if ! command -v "$program" >/dev/null; then
    skipped "$name" "$program is not installed"
  elif "$@"; then
    passed
    echo "ok: $name"
  else
    failed "$name"
  fi
}

run_quick_checks() {
  run_check "formatting" clang-format formatting_is_right
  run_check "wire contract: names, comments and layout" npm protos/check.sh lint
  run_check "wire contract: nothing breaks callers" npm protos/check.sh breaking
  run_check "docs/configuration.md is current" diff configuration_docs_are_current
  run_check "shell scripts parse" bash scripts_parse
  run_check "metrics: what Prometheus makes of them" promtool metrics_are_well_named
  run_check "bench: parsing, ratios, table and chart" python3 bench_is_right_about_figures
  run_check "bench: every row comes about" python3 bench_produces_every_row
}

formatting_is_right() {
  our_files '*.h' '*.cc' | xargs -0 clang-format --dry-run -Werror
}

configuration_docs_are_current() {
  build/release/dbsidecar config docs | diff -u docs/configuration.md - ||
    { echo "run: ./dev docs" >&2 && return 1; }
}

# Two names are others' to give: OpenTelemetry's and one that existing dashboards use.
metrics_are_well_named() {
  diff -u tests/golden/metrics/promtool.txt \
    <(promtool check metrics <tests/golden/metrics/prometheus.txt 2>&1 | sort)
}

scripts_parse() {
  local script
  for script in dev .ci/run scripts/*.sh protos/check.sh tests/*/*.sh; do bash -n "$script" || return 1; done
}

# code_is_tidy [--all | FILE...]: by default what changed since main.
code_is_tidy() {
  if [[ "${1:-}" == --all ]]; then
    our_files '*.cc' | run_clang_tidy
  elif [[ $# -gt 0 ]]; then
    printf '%s\0' "$@" | run_clang_tidy
  else
    changed_sources | run_clang_tidy
  fi
}

# On main itself, what the last commit changed.
changed_sources() {
  local since
  since="$(git merge-base HEAD main 2>/dev/null)" || since=HEAD
  [[ "$since" != "$(git rev-parse HEAD)" ]] || since=HEAD~1
  git diff -z --name-only --diff-filter=d "$since" -- '*.cc'
}

# With compile commands that name no precompiled headers: clang cannot read GCC's.
run_clang_tidy() {
  mkdir -p build/tidy
  sed -E 's/ -Winvalid-pch| -include [^ ]*cmake_pch\.hxx//g' build/release/compile_commands.json \
    >build/tidy/compile_commands.json
  xargs -0 -r -n 1 -P "$(nproc)" clang-tidy -p build/tidy --quiet
}
