#include "server/process_figures.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace dbsidecar::server {
namespace {

uint32_t CountEntries(const char* path) {
  DIR* directory = opendir(path);
  if (directory == nullptr) return 0;
  uint32_t count = 0;
  while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

struct Memory {
  uint64_t virtual_bytes = 0;
  uint64_t resident_bytes = 0;
};

Memory ReadMemory() {
  Memory pages;
  std::ifstream("/proc/self/statm") >> pages.virtual_bytes >> pages.resident_bytes;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return {.virtual_bytes = pages.virtual_bytes * page,
          .resident_bytes = pages.resident_bytes * page};
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

void SetTimestamp(std::chrono::system_clock::time_point time, google::protobuf::Timestamp& into) {
  const auto nanos =
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  into.set_seconds(nanos / 1'000'000'000);
  into.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void SetDuration(std::chrono::nanoseconds duration, google::protobuf::Duration& into) {
  into.set_seconds(duration.count() / 1'000'000'000);
  into.set_nanos(static_cast<int32_t>(duration.count() % 1'000'000'000));
}

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

uint64_t ResidentBytes() { return ReadMemory().resident_bytes; }

void FillProcessMetrics(v1::ProcessMetrics& metrics) {
  static const auto started = std::chrono::system_clock::now();
  SetTimestamp(started, *metrics.mutable_start_time());
  metrics.set_cpu_seconds_total(ProcessorSeconds());
  const Memory memory = ReadMemory();
  metrics.set_virtual_bytes(memory.virtual_bytes);
  metrics.set_resident_bytes(memory.resident_bytes);
  metrics.set_open_descriptors(CountEntries("/proc/self/fd"));
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  metrics.set_descriptors_max(static_cast<uint32_t>(descriptors.rlim_cur));
  metrics.set_threads(CountEntries("/proc/self/task"));
}

}  // namespace dbsidecar::server
