// What a probe sees while others load the sidecar: readiness or liveness, asked every few
// milliseconds by a process of its own, as a kubelet's is. Asked by the test's own process, the
// answer would wait for the test's hundred threads, and the time measured would be theirs.
#pragma once

#include <chrono>
#include <string>

#include "tests/support/child_process.h"

namespace dbsidecar::integration {

class ProbeWatch {
 public:
  // `what`: a service of grpc.health.v1; or a path, asked over HTTP by the Unix socket `address`;
  // or "Health", the RPC with all it has.
  ProbeWatch(const std::string& address, const std::string& what);

  // Ends the probing; the figures are there from then on.
  void Stop();

  long answers() const { return answers_; }
  long failed() const { return failed_; }            // Not answered within 2 s, or with an error.
  long not_serving() const { return not_serving_; }  // Answered, and the answer was no.
  std::chrono::nanoseconds slowest() const { return slowest_; }

 private:
  const std::string output_;
  test_support::ChildProcess process_;
  long answers_ = 0;
  long failed_ = 0;
  long not_serving_ = 0;
  std::chrono::nanoseconds slowest_{};
};

// The process's own life: asks until SIGTERM, then prints the figures. Returns its exit code.
int RunProbe(const std::string& address, const std::string& what);

}  // namespace dbsidecar::integration
