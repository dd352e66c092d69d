#include "tests/support/sidecar_process.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/support/health_client.h"

namespace dbsidecar::test_support {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string Binary() {
  const char* overridden = std::getenv("DBSIDECAR_BINARY");
  return overridden == nullptr ? DBSIDECAR_BINARY : overridden;
}

Command SidecarCommand(std::vector<std::string> arguments,
                       std::map<std::string, std::string> environment, std::string output_file) {
  arguments.insert(arguments.begin(), Binary());
  return {.arguments = std::move(arguments),
          .environment = std::move(environment),
          // What the test runner has set must not configure the sidecar.
          .dropped_prefixes = {"DBSIDECAR_", "DATABASE_URL", "PG", "ENABLE_POOL_LOGGING",
                               "HEALTH_CHECK_INTERVAL"},
          .output_file = std::move(output_file)};
}

}  // namespace

SidecarProcess::SidecarProcess(SidecarOptions options) : folder_(MakeTemporaryFolder("sidecar")) {
  address_ = options.unix_socket ? "unix:" + folder_ + "/socket"
                                 : "127.0.0.1:" + std::to_string(FreePort());
  std::vector<std::string> arguments = {"serve", "--profile=" + options.profile,
                                        "--listen=" + address_,
                                        "--http-listen=unix:" + http_socket()};
  if (options.admin) arguments.push_back("--admin-listen=unix:" + admin_socket());
  // In the environment, because a URL with a password does not belong on a command line.
  if (!options.database_url.empty()) options.environment["DATABASE_URL"] = options.database_url;
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  process_ = std::make_unique<ChildProcess>(
      SidecarCommand(std::move(arguments), std::move(options.environment), folder_ + "/log"));
  WaitUntilReady();
}

Command SidecarProcess::CommandLine(std::vector<std::string> arguments, std::string output_file) {
  return SidecarCommand(std::move(arguments), {}, std::move(output_file));
}

SidecarProcess::~SidecarProcess() {
  if (process_->Running()) {
    process_->Signal(SIGTERM);
    // A second signal skips the drain.
    if (!process_->WaitExit(seconds(3))) process_->Signal(SIGTERM);
    if (!process_->WaitExit(seconds(7))) {
      std::cerr << "The sidecar did not end after SIGTERM. Its log:\n" << Log() << "\n";
    }
  }
  process_.reset();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void SidecarProcess::WaitUntilReady() {
  const auto end = std::chrono::steady_clock::now() + seconds(35);
  while (std::chrono::steady_clock::now() < end && process_->Running()) {
    // A new connection each time: a refused one is not tried again for seconds.
    if (HealthClient(NewChannel()).Serving("readiness")) return;
    std::this_thread::sleep_for(milliseconds(20));
  }
  const std::optional<int> code = process_->WaitExit(milliseconds(0));
  throw std::runtime_error("the sidecar is not ready, " +
                           (code ? "exit code " + std::to_string(*code) : "it still runs") + ":\n" +
                           Log());
}

FailedStart SidecarProcess::Run(const std::vector<std::string>& arguments,
                                const std::map<std::string, std::string>& environment,
                                milliseconds timeout) {
  const std::string folder = MakeTemporaryFolder("start");
  FailedStart outcome;
  outcome.exit_code = RunToExit(SidecarCommand(arguments, environment, folder + "/log"), timeout);
  outcome.output = ReadFile(folder + "/log");
  fs::remove_all(folder);
  return outcome;
}

namespace {

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::shared_ptr<grpc::Channel> SidecarProcess::NewChannel() const { return ChannelTo(address_); }

std::shared_ptr<grpc::Channel> SidecarProcess::NewAdminChannel() const {
  return ChannelTo("unix:" + admin_socket());
}

long SidecarProcess::ResidentBytes() const {
  std::ifstream statm("/proc/" + std::to_string(pid()) + "/statm");
  long size = 0;
  long resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

int SidecarProcess::OpenDescriptors() const {
  int count = 0;
  for ([[maybe_unused]] const auto& entry :
       fs::directory_iterator("/proc/" + std::to_string(pid()) + "/fd")) {
    ++count;
  }
  return count;
}

std::string SidecarProcess::Log() const { return ReadFile(folder_ + "/log"); }

}  // namespace dbsidecar::test_support
