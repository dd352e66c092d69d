// A real Prometheus that scrapes one target every second and evaluates docs/monitoring's rules.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "tests/support/child_process.h"

namespace dbsidecar::test_support {

class Prometheus {
 public:
  // Whether the program is there at all.
  static bool IsInstalled();
  // docs/monitoring of the sources, with a slash at its end.
  static std::string MonitoringFolder();

  // Scrapes /metrics on this port of the loopback interface.
  explicit Prometheus(int target_port);
  ~Prometheus();

  // What its HTTP API answers; "" while it does not.
  std::string Get(const std::string& path, const std::map<std::string, std::string>& parameters);
  std::string Log() const { return ReadFile(folder_ + "/log"); }

 private:
  const std::string folder_;
  const int port_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace dbsidecar::test_support
