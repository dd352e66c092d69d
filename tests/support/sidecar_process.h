// The real dbsidecar binary as a child process of the test, listening on an address of its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace dbsidecar::test_support {

struct SidecarOptions {
  std::string database_url;
  std::string profile = "test";
  std::vector<std::string> flags;  // After the others, so that they may be anything.
  std::map<std::string, std::string> environment;
  bool unix_socket = false;  // Listen on a Unix socket instead of a TCP port.
  bool admin = false;        // Serve Admin, on a Unix socket.
};

// What came of a start that was expected to fail.
struct FailedStart {
  int exit_code = -1;
  std::string output;
};

class SidecarProcess {
 public:
  // Returns once `readiness` is SERVING. Throws, with the log, if it is not within 35 s.
  explicit SidecarProcess(SidecarOptions options);
  ~SidecarProcess();
  SidecarProcess(const SidecarProcess&) = delete;
  SidecarProcess& operator=(const SidecarProcess&) = delete;

  // Runs the binary with these arguments to its end, at most `timeout` long.
  static FailedStart Run(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment = {},
                         std::chrono::milliseconds timeout = std::chrono::seconds(40));

  // The binary with these arguments, for a ChildProcess.
  static Command CommandLine(std::vector<std::string> arguments, std::string output_file);

  const std::string& address() const { return address_; }
  // Where it serves HTTP.
  std::string http_socket() const { return folder_ + "/http"; }
  // Where it serves Admin, if it does.
  std::string admin_socket() const { return folder_ + "/admin"; }
  // A connection of its own on every call. Messages of any size are accepted.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::shared_ptr<grpc::Channel> NewAdminChannel() const;

  pid_t pid() const { return process_->pid(); }
  bool Running() { return process_->Running(); }
  void Signal(int signal) { process_->Signal(signal); }
  // The exit code, 128 + the signal if one ended it, or nothing if it still runs.
  std::optional<int> WaitExit(std::chrono::milliseconds timeout) {
    return process_->WaitExit(timeout);
  }

  long ResidentBytes() const;
  int OpenDescriptors() const;
  // What it has written so far.
  std::string Log() const;

 private:
  void WaitUntilReady();

  std::string folder_;
  std::string address_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace dbsidecar::test_support
