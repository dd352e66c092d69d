// What the kernel says about the machine or container that the process runs in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dbsidecar/v1/health.pb.h"

namespace dbsidecar::server {

// `root` is where /proc and /sys are looked for: "" but in tests. What cannot be read is left out.
class SystemFigures {
 public:
  explicit SystemFigures(std::string root = "") : root_(std::move(root)) {}

  void FillSystem(const v1::ProcessMetrics& process, v1::SystemHealth& system) const;
  // Of the container (cgroup version 2 or 1) if it has a limit, otherwise of the machine.
  void FillMemory(const v1::ProcessMetrics& process, v1::MemoryHealth& memory) const;
  // What the process may hold at most, by the same rule; 0 = not known.
  uint64_t MemoryLimit() const;
  // All but the shares of the last minute, which take two looks.
  void FillCpu(v1::CpuHealth& cpu) const;

  // The container's quota, or the machine's count.
  double AvailableCpus() const;
  // How long the container's quota has held it up so far; none = no quota.
  std::optional<double> ThrottledSeconds() const;

 private:
  // The number at the start of a file; none when there is none, also for "max".
  std::optional<double> ReadNumber(const std::string& path) const;
  // The number behind `key` in a file of lines "key number".
  std::optional<double> ReadField(const std::string& path, const std::string& key) const;
  // The container's folder of a controller of cgroup version 1, or of version 2 with "".
  std::string CgroupFolder(const std::string& controller) const;

  const std::string root_;
};

}  // namespace dbsidecar::server
