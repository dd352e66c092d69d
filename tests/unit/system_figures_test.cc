#include "server/system_figures.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace dbsidecar::server {
namespace {

namespace fs = std::filesystem;

// A machine with 1 GiB, of which half is free, as /proc and /sys show it.
class SystemFiguresTest : public testing::Test {
 protected:
  SystemFiguresTest() : root_(fs::path(testing::TempDir()) / "system_figures") {
    fs::remove_all(root_);
    Write("/proc/meminfo", "MemTotal:        1048576 kB\nMemAvailable:     524288 kB\n");
    Write("/proc/loadavg", "0.50 1.25 2.00 1/100 42\n");
  }
  ~SystemFiguresTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    const fs::path file = root_ / path.substr(1);
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  v1::MemoryHealth Memory() const {
    v1::MemoryHealth memory;
    v1::ProcessMetrics process;
    process.set_resident_bytes(42);
    Figures().FillMemory(process, memory);
    return memory;
  }
  SystemFigures Figures() const { return SystemFigures(root_.string()); }

  const fs::path root_;
};

constexpr uint64_t kMiB = 1024 * 1024;

TEST_F(SystemFiguresTest, WithoutALimitTheMachineCounts) {
  EXPECT_EQ(Memory().limit_bytes(), 1024 * kMiB);
  EXPECT_EQ(Memory().used_bytes(), 512 * kMiB);
  EXPECT_EQ(Memory().used_percent(), 50);
  EXPECT_EQ(Memory().resident_bytes(), 42);
  EXPECT_EQ(Figures().AvailableCpus(), std::thread::hardware_concurrency());
  EXPECT_FALSE(Figures().ThrottledSeconds());
}

TEST_F(SystemFiguresTest, AContainersLimitsCount) {
  Write("/proc/self/cgroup", "0::/pod/me\n");
  Write("/sys/fs/cgroup/pod/me/memory.max", "104857600\n");
  Write("/sys/fs/cgroup/pod/me/memory.current", "26214400\n");
  Write("/sys/fs/cgroup/pod/me/cpu.max", "50000 100000\n");
  Write("/sys/fs/cgroup/pod/me/cpu.stat", "usage_usec 5\nthrottled_usec 2500000\n");
  EXPECT_EQ(Memory().limit_bytes(), 100 * kMiB);
  EXPECT_EQ(Memory().used_percent(), 25);
  EXPECT_EQ(Figures().AvailableCpus(), 0.5);
  EXPECT_EQ(Figures().ThrottledSeconds(), 2.5);
}

TEST_F(SystemFiguresTest, WithANamespaceOfItsOwnTheFolderIsTheRoot) {
  Write("/proc/self/cgroup", "0::/../../elsewhere\n");
  Write("/sys/fs/cgroup/memory.max", "104857600\n");
  Write("/sys/fs/cgroup/memory.current", "52428800\n");
  EXPECT_EQ(Memory().used_percent(), 50);
}

TEST_F(SystemFiguresTest, NoLimitIsSaidByAWordOrAHugeNumber) {
  Write("/proc/self/cgroup", "0::/me\n");
  Write("/sys/fs/cgroup/me/memory.max", "max\n");
  Write("/sys/fs/cgroup/me/memory.current", "1000\n");
  Write("/sys/fs/cgroup/me/cpu.max", "max 100000\n");
  EXPECT_EQ(Memory().limit_bytes(), 1024 * kMiB);
  EXPECT_EQ(Memory().used_bytes(), 512 * kMiB);
  EXPECT_EQ(Figures().AvailableCpus(), std::thread::hardware_concurrency());
}

TEST_F(SystemFiguresTest, TheFirstVersionOfControlGroupsIsRead) {
  Write("/proc/self/cgroup", "5:memory:/me\n4:cpu,cpuacct:/me\n");
  Write("/sys/fs/cgroup/memory/me/memory.limit_in_bytes", "104857600\n");
  Write("/sys/fs/cgroup/memory/me/memory.usage_in_bytes", "10485760\n");
  Write("/sys/fs/cgroup/cpu/me/cpu.cfs_quota_us", "25000\n");
  Write("/sys/fs/cgroup/cpu/me/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/cpu/me/cpu.stat", "throttled_time 1500000000\n");
  EXPECT_EQ(Memory().used_percent(), 10);
  EXPECT_EQ(Figures().AvailableCpus(), 0.25);
  EXPECT_EQ(Figures().ThrottledSeconds(), 1.5);
}

TEST_F(SystemFiguresTest, LoadIsOfTheMachine) {
  v1::CpuHealth cpu;
  Figures().FillCpu(cpu);
  ASSERT_EQ(cpu.load_averages_size(), 3);
  EXPECT_EQ(cpu.load_averages(1), 1.25);
}

TEST_F(SystemFiguresTest, NothingToReadIsNoReasonToFail) {
  fs::remove_all(root_);
  EXPECT_EQ(Memory().limit_bytes(), 0);
  v1::CpuHealth cpu;
  Figures().FillCpu(cpu);
  EXPECT_EQ(cpu.load_averages_size(), 0);
}

}  // namespace
}  // namespace dbsidecar::server
