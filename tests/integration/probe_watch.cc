#include "tests/integration/probe_watch.h"

#include <signal.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/integration/fixture.h"
#include "tests/support/http_client.h"

namespace dbsidecar::integration {
namespace {

volatile sig_atomic_t g_stopped = 0;

struct Answer {
  bool failed = false;
  bool serving = false;
};

std::function<Answer()> Asker(const std::string& address, const std::string& what) {
  if (what.starts_with("/")) {
    return [=]() -> Answer {
      const test_support::HttpAnswer answer = test_support::HttpGet(address, what);
      return {.failed = answer.status != 200 && answer.status != 503,
              .serving = answer.status == 200};
    };
  }
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  if (what == "Health") {
    return [stub = std::shared_ptr(v1::Sidecar::NewStub(channel))]() -> Answer {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 2s);
      v1::HealthRequest request;
      request.set_level(v1::HEALTH_LEVEL_DATABASE);
      v1::HealthResponse health;
      const grpc::Status status = stub->Health(&context, request, &health);
      return {.failed = !status.ok(), .serving = health.status() != v1::HEALTH_STATUS_UNHEALTHY};
    };
  }
  return [health = std::make_shared<HealthClient>(channel), what]() -> Answer {
    bool serving = false;
    const grpc::Status status = health->Check(what, &serving, 2s);
    return {.failed = !status.ok(), .serving = serving};
  };
}

}  // namespace

ProbeWatch::ProbeWatch(const std::string& address, const std::string& what)
    : output_(test_support::MakeTemporaryFolder("probe") + "/output"),
      process_({.arguments = {"/proc/self/exe", "--probe", address, what},
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

int RunProbe(const std::string& address, const std::string& what) {
  signal(SIGTERM, [](int) { g_stopped = 1; });
  const std::function<Answer()> ask = Asker(address, what);
  long answers = 0;
  long failed = 0;
  long not_serving = 0;
  Clock::duration slowest{};
  while (g_stopped == 0) {
    const auto start = Clock::now();
    const Answer answer = ask();
    if (g_stopped != 0) break;  // The signal may have disturbed it.
    slowest = std::max(slowest, Clock::now() - start);
    ++answers;
    if (answer.failed) ++failed;
    if (!answer.failed && !answer.serving) ++not_serving;
    std::this_thread::sleep_for(10ms);
  }
  std::cout << answers << ' ' << failed << ' ' << not_serving << ' '
            << std::chrono::nanoseconds(slowest).count() << std::endl;
  return 0;
}

}  // namespace dbsidecar::integration
