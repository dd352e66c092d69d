#include "tests/integration/probe_watch.h"

#include <signal.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

volatile sig_atomic_t g_stopped = 0;

}  // namespace

ProbeWatch::ProbeWatch(const std::string& address, const std::string& service)
    : output_(test_support::MakeTemporaryFolder("probe") + "/output"),
      process_({.arguments = {"/proc/self/exe", "--probe", address, service},
                .environment = {},
                .dropped_prefixes = {},
                .output_file = output_}) {}

void ProbeWatch::Stop() {
  process_.Signal(SIGTERM);
  process_.WaitExit(5s);
  const std::string output = test_support::ReadFile(output_);
  std::istringstream figures(output);
  long slowest = 0;
  figures >> answers_ >> failed_ >> not_serving_ >> slowest;
  slowest_ = std::chrono::nanoseconds(slowest);
  if (!figures) throw std::runtime_error("the probe printed no figures: " + output);
}

int RunProbe(const std::string& address, const std::string& service) {
  signal(SIGTERM, [](int) { g_stopped = 1; });
  HealthClient health(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  long answers = 0;
  long failed = 0;
  long not_serving = 0;
  Clock::duration slowest{};
  while (g_stopped == 0) {
    bool serving = false;
    const auto start = Clock::now();
    const grpc::Status status = health.Check(service, &serving, 2s);
    slowest = std::max(slowest, Clock::now() - start);
    ++answers;
    if (!status.ok()) ++failed;
    if (status.ok() && !serving) ++not_serving;
    std::this_thread::sleep_for(10ms);
  }
  std::cout << answers << ' ' << failed << ' ' << not_serving << ' '
            << std::chrono::nanoseconds(slowest).count() << std::endl;
  return 0;
}

}  // namespace dbsidecar::integration
