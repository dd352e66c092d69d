#include "server/system_figures.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace dbsidecar::server {
namespace {

constexpr double kKiB = 1024;
// cgroup version 1 says "no limit" by a number of about 2^63.
constexpr double kNoLimit = 1e18;

}  // namespace

std::optional<double> SystemFigures::ReadNumber(const std::string& path) const {
  double number = 0;
  std::ifstream file(root_ + path);
  if (file >> number) return number;
  return std::nullopt;
}

std::optional<double> SystemFigures::ReadField(const std::string& path,
                                               const std::string& key) const {
  std::ifstream file(root_ + path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    double number = 0;
    if (words >> name >> number && name == key) return number;
  }
  return std::nullopt;
}

// Inside a container with a namespace of its own the folder is the root itself; /proc/self/cgroup
// may then name one that is not there.
std::string SystemFigures::CgroupFolder(const std::string& controller) const {
  std::string base = "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  std::ifstream file(root_ + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    // "0::/path" in version 2, "4:cpu,cpuacct:/path" in version 1.
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool matches = controller.empty()
                             ? names == ",,"
                             : names.find("," + controller + ",") != std::string::npos;
    if (!matches) continue;
    std::string folder = base + line.substr(second + 1);
    if (access((root_ + folder).c_str(), R_OK) == 0) return folder;
  }
  return base;
}

void SystemFigures::FillSystem(const v1::ProcessMetrics& process, v1::SystemHealth& system) const {
  utsname name{};
  uname(&name);
  system.set_hostname(name.nodename);
  system.set_operating_system(std::string(name.sysname) + " " + name.release);
  system.set_architecture(name.machine);
  system.set_pid(getpid());
  system.set_open_descriptors(process.open_descriptors());
  system.set_descriptors_max(process.descriptors_max());
  system.set_threads(process.threads());
}

void SystemFigures::FillMemory(const v1::ProcessMetrics& process, v1::MemoryHealth& memory) const {
  memory.set_resident_bytes(process.resident_bytes());
  const std::string folder = CgroupFolder("");
  std::optional<double> limit = ReadNumber(folder + "/memory.max");
  std::optional<double> used = ReadNumber(folder + "/memory.current");
  if (!used) {
    const std::string old = CgroupFolder("memory");
    limit = ReadNumber(old + "/memory.limit_in_bytes");
    used = ReadNumber(old + "/memory.usage_in_bytes");
  }
  const double machine = ReadField("/proc/meminfo", "MemTotal:").value_or(0) * kKiB;
  if (!limit || *limit > kNoLimit || (machine > 0 && *limit > machine)) {
    limit = machine;
    used = machine - ReadField("/proc/meminfo", "MemAvailable:").value_or(0) * kKiB;
  }
  memory.set_limit_bytes(static_cast<uint64_t>(*limit));
  memory.set_used_bytes(static_cast<uint64_t>(used.value_or(0)));
  if (*limit > 0) memory.set_used_percent(100 * used.value_or(0) / *limit);
}

uint64_t SystemFigures::MemoryLimit() const {
  v1::MemoryHealth memory;
  FillMemory({}, memory);
  return memory.limit_bytes();
}

double SystemFigures::AvailableCpus() const {
  const double machine = std::max(1U, std::thread::hardware_concurrency());
  const std::string file = CgroupFolder("") + "/cpu.max";  // "quota period", or "max period".
  std::ifstream limit(root_ + file);
  double quota = 0;
  double period = 0;
  if (!(limit >> quota >> period)) {
    const std::string old = CgroupFolder("cpu");
    quota = ReadNumber(old + "/cpu.cfs_quota_us").value_or(-1);
    period = ReadNumber(old + "/cpu.cfs_period_us").value_or(0);
  }
  return quota > 0 && period > 0 ? std::min(machine, quota / period) : machine;
}

std::optional<double> SystemFigures::ThrottledSeconds() const {
  if (const auto micros = ReadField(CgroupFolder("") + "/cpu.stat", "throttled_usec")) {
    return *micros / 1e6;
  }
  if (const auto nanos = ReadField(CgroupFolder("cpu") + "/cpu.stat", "throttled_time")) {
    return *nanos / 1e9;
  }
  return std::nullopt;
}

void SystemFigures::FillCpu(v1::CpuHealth& cpu) const {
  cpu.set_available_cpus(AvailableCpus());
  std::ifstream file(root_ + "/proc/loadavg");
  double load = 0;
  for (int i = 0; i < 3 && file >> load; ++i) cpu.add_load_averages(load);
}

}  // namespace dbsidecar::server
