# How test suites are run. Sourced by ./dev. A suite is a folder in tests/.

# build_suites PRESET [SUITE...]: what these suites need; everything by default.
build_suites() {
  local preset="$1" suite targets=()
  shift
  for suite in "$@"; do
    [[ -f "tests/$suite/CMakeLists.txt" ]] || fail "there is no suite \"$suite\" in tests/"
    targets+=("tests/$suite/all")
  done
  build_targets "$preset" "${targets[@]}"
}

# run_suites PRESET [SUITE...]: all suites by default.
run_suites() {
  local preset="$1" suite
  shift
  if [[ $# -eq 0 ]]; then
    run_ctest "$preset" "" all
    return
  fi
  for suite in "$@"; do
    run_ctest "$preset" "/tests/$suite" "$suite"
  done
}

# run_ctest PRESET FOLDER NAME: the tests of a build folder.
run_ctest() {
  local preset="$1" folder="$2" name="$3" status=0 failed_before=$FAILED
  local junit="$ROOT/build/$preset/results/$name.xml"
  mkdir -p "${junit%/*}"
  rm -f "$junit"
  # The sizes keep CTest from shortening the output in which the test cases are counted.
  ctest --test-dir "build/$preset$folder" --output-on-failure --no-tests=error \
    --output-junit "$junit" --test-output-size-passed 50000000 \
    --test-output-size-failed 50000000 || status=$?
  if [[ -f "$junit" ]]; then count_junit "$junit"; fi
  if [[ $status -ne 0 && $FAILED -eq $failed_before ]]; then
    failed "ctest in build/$preset$folder ended with status $status"
  fi
}

# run_sanitized PRESET [SUITE...]: all suites by default. What is slow anyway runs shorter.
run_sanitized() {
  local preset="$1" suite
  shift
  install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
  export DBSIDECAR_TEST_SECONDS_LOAD="${DBSIDECAR_TEST_SECONDS_LOAD:-5}"
  export DBSIDECAR_TEST_SECONDS_CANARY="${DBSIDECAR_TEST_SECONDS_CANARY:-10}"
  export DBSIDECAR_SIM_RUNS="${DBSIDECAR_SIM_RUNS:-1000}"
  if [[ $# -eq 0 ]]; then set -- unit fuzz simulation contract golden client_cpp integration; fi
  for suite in "$@"; do
    if [[ "$suite" == integration ]]; then
      run_integration_against "$preset"
    else
      build_suites "$preset" "$suite"
      run_suites "$preset" "$suite"
    fi
  done
  report
}

# run_integration_against PRESET: that build of the sidecar, tested by the release build's program,
# since only the sidecar is to be examined, and gRPC's clients fill a sanitizer with false reports.
run_integration_against() {
  build_targets "$1" dbsidecar
  build_suites release integration
  build_grpc_tools
  DBSIDECAR_BINARY="$ROOT/build/$1/dbsidecar" DBSIDECAR_TEST_SANITIZED="$1" \
    run_ctest release /tests/integration integration
}

simulate() {
  local seed="" runs=100000
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --seed) seed="${2:?--seed needs a number}" && shift 2 ;;
      --runs) runs="${2:?--runs needs a number}" && shift 2 ;;
      *) fail "sim takes --seed N and --runs N, not \"$1\"" ;;
    esac
  done
  local program
  program="$(find build/release -name simulation_test -type f -perm -u+x | head -1)"
  if [[ -n "$seed" ]]; then
    "$program" "--seed=$seed"
  else
    DBSIDECAR_SIM_BASE_SEED="${DBSIDECAR_SIM_BASE_SEED:-random}" DBSIDECAR_SIM_RUNS="$runs" "$program"
  fi
}

# What libFuzzer finds interesting is kept in build/fuzz/corpus, and what fails in build/fuzz/found.
fuzz_targets() {
  local seconds=60 target targets=()
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --seconds) seconds="${2:?--seconds needs a number}" && shift 2 ;;
      *) targets+=("$1") && shift ;;
    esac
  done
  [[ "$seconds" =~ ^[1-9][0-9]*$ ]] || fail "--seconds takes a number above 0, not \"$seconds\""
  if [[ ${#targets[@]} -eq 0 ]]; then
    for target in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$target" .cc)"); done
  fi
  for target in "${targets[@]}"; do
    [[ -f "tests/fuzz/$target.cc" ]] || fail "there is no fuzzer \"$target\" in tests/fuzz/"
  done
  build_targets fuzz "${targets[@]}"
  mkdir -p build/fuzz/found
  for target in "${targets[@]}"; do
    mkdir -p "build/fuzz/corpus/$target"
    echo "fuzz: $target for $seconds s"
    if "build/fuzz/$target" -max_total_time="$seconds" -timeout=20 -verbosity=0 \
      -artifact_prefix="build/fuzz/found/$target-" \
      "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target"; then
      passed
    else
      failed "$target"
    fi
  done
  report
}

# The source of the installed PostgreSQL, by Debian's package of it.
fetch_regression_sql() {
  local folder="$ROOT/build/regress" version
  [[ ! -d "$folder/sql" ]] || return 0
  rm -rf "$folder" && mkdir -p "$folder/lists/partial"
  # The machine's own package sources, for source packages.
  {
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true
  } >"$folder/deb-src.list"
  local options=(-o "Dir::Etc::sourcelist=$folder/deb-src.list" -o "Dir::Etc::sourceparts=-"
    -o "Dir::State::Lists=$folder/lists" -qq)
  if compgen -G '/etc/apt/sources.list.d/*.sources' >/dev/null; then
    mkdir "$folder/parts"
    for file in /etc/apt/sources.list.d/*.sources; do
      sed 's/^Types: .*/Types: deb-src/' "$file" >"$folder/parts/$(basename "$file")"
    done
    options+=(-o "Dir::Etc::sourceparts=$folder/parts")
  fi
  as_root apt-get "${options[@]}" update
  version="$(dpkg-query -W -f '${Version}' postgresql-15)"
  (cd "$folder" && { as_root apt-get "${options[@]}" source --download-only "postgresql-15=$version" ||
    as_root apt-get "${options[@]}" source --download-only postgresql-15; })
  mkdir "$folder/unpacked"
  tar -xf "$folder"/postgresql-15_*.orig.tar.bz2 -C "$folder/unpacked" --strip-components=1 \
    --wildcards '*/src/test/regress/*'
  mv "$folder"/unpacked/src/test/regress/* "$folder"
}

compare_regression_sql() {
  local folder="$ROOT/build/regress" files=("$@")
  fetch_regression_sql || fail "PostgreSQL's source package cannot be had by apt-get source"
  if [[ ${#files[@]} -eq 0 ]]; then
    read -r -a files <<<"$(sed -n 's/^test: //p' "$folder/parallel_schedule" | tr '\n' ' ')"
  fi
  build/release/regress_compare "$folder/sql" "$folder" "${files[@]}" >"$folder/differences.txt" &&
    passed || failed "regress"
  echo "what differs: build/regress/differences.txt"
  report
}

soak_callers() {
  local seed="" calls=10000000 bank=""
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --bank) bank="${2:?--bank needs a number of seconds}" && shift 2 ;;
      --seed) seed="${2:?--seed needs a number}" && shift 2 ;;
      --calls) calls="${2:?--calls needs a number}" && shift 2 ;;
      *) fail "soak takes --calls N, --seed N and --bank SECONDS, not \"$1\"" ;;
    esac
  done
  [[ "$calls" =~ ^[1-9][0-9]*$ ]] || fail "--calls takes a number above 0, not \"$calls\""
  if [[ -n "$bank" ]]; then
    DBSIDECAR_TEST_SECONDS_BANK="$bank" build/release/integration_test --gtest_filter='Bank.*'
    return
  fi
  [[ -z "$seed" ]] || export DBSIDECAR_TEST_SEED="$seed"
  DBSIDECAR_TEST_CALLS_CANARY="$calls" build/release/integration_test --gtest_filter='*CanaryTest.*'
}
