# Reads CTest's JUnit file and writes a line "passed|failed|skipped<TAB>name" for each test case.
function unescape(text) {
  gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&amp;/, "\\&", text)
  return text
}
function say(verdict, name) { print verdict "\t" unescape(name) }

/<testcase / {
  match($0, /name="[^"]*"/); entry = substr($0, RSTART + 6, RLENGTH - 7)
  match($0, /status="[^"]*"/); status = substr($0, RSTART + 8, RLENGTH - 9)
  cases = 0; failures = 0; by_design = 0
}
/<skipped message="SKIP_/ { by_design = 1 }
# GoogleTest ends each test case with one of these lines.
/\[       OK \] .* \([0-9]+ ms\)/ { cases++; sub(/.*\[       OK \] /, ""); sub(/ \([0-9]+ ms\).*/, ""); say("passed", $0) }
/\[  SKIPPED \] .* \([0-9]+ ms\)/ { cases++; sub(/.*\[  SKIPPED \] /, ""); sub(/ \([0-9]+ ms\).*/, ""); say("skipped", $0) }
/\[  FAILED  \] .* \([0-9]+ ms\)/ { cases++; failures++; sub(/.*\[  FAILED  \] /, ""); sub(/ \([0-9]+ ms\).*/, ""); say("failed", $0) }
/<\/testcase>/ {
  if (status == "run") {
    if (cases == 0) say("passed", entry)
  } else if (by_design) {
    if (cases == 0) say("skipped", entry)
  } else if (failures == 0) {
    # It crashed, hung, or could not be started.
    say("failed", entry)
  }
}
