# What passed, what failed and what was left out. Sourced by ./dev.

PASSED=0
FAILED=0
SKIPPED=0
SKIPPED_LINES=()
FAILED_LINES=()

skipped() {
  SKIPPED=$((SKIPPED + 1))
  SKIPPED_LINES+=("SKIPPED: $1 ($2)")
}

passed() {
  PASSED=$((PASSED + 1))
}

failed() {
  FAILED=$((FAILED + 1))
  FAILED_LINES+=("FAILED: $1")
}

# count_junit FILE: adds up the test cases that CTest ran. An entry of CTest that is a GoogleTest
# program counts by its own test cases; any other counts as one.
count_junit() {
  local verdict name
  while IFS=$'\t' read -r verdict name; do
    case "$verdict" in
      passed) passed ;;
      failed) failed "$name" ;;
      skipped) skipped "$name" "see the test's own words" ;;
    esac
  done < <(awk -f scripts/junit_verdicts.awk "$1")
}

# The last words of a run; its status is the verdict. A part left out fails a run with CI=true.
report() {
  local line last="$PASSED passed, $FAILED failed"
  echo
  for line in "${FAILED_LINES[@]}" "${SKIPPED_LINES[@]}"; do echo "$line"; done
  if [[ "${CI:-}" == true && $SKIPPED -gt 0 ]]; then
    echo "CI=true: nothing may be skipped"
  fi
  [[ $SKIPPED -eq 0 ]] || last+=", $SKIPPED skipped"
  echo "$last"
  [[ $FAILED -eq 0 && ! ("${CI:-}" == true && $SKIPPED -gt 0) ]]
}
