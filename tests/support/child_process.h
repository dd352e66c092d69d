// A program that a test runs, and that cannot outlive the test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace dbsidecar::test_support {

struct Command {
  std::vector<std::string> arguments;              // The first is the program, looked up in PATH.
  std::map<std::string, std::string> environment;  // On top of what the test itself has.
  std::vector<std::string> dropped_prefixes;       // Variables of the test that are not passed on.
  std::string output_file;                         // Gets standard output and standard error.
  uid_t user = 0;                                  // 0 = as the test itself.
  gid_t group = 0;
  int death_signal = 9;  // What it gets when the thread that started it ends.
};

// REQUIRES: started on a thread that lives as long as the process (see `death_signal`).
class ChildProcess {
 public:
  explicit ChildProcess(const Command& command);
  // Kills what still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  void Signal(int signal) const;
  // The exit code, 128 + the signal if one ended it, or nothing if it still runs after `timeout`.
  std::optional<int> WaitExit(std::chrono::milliseconds timeout);

 private:
  bool Reap();

  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

// Runs it to its end. A program that does not end within `timeout` is killed: exit code 137.
int RunToExit(const Command& command, std::chrono::milliseconds timeout);

// A new folder of this test process, under TMPDIR or /tmp.
std::string MakeTemporaryFolder(const std::string& name);
std::string ReadFile(const std::string& path);
// A TCP port of the loopback interface that nobody listened on a moment ago.
int FreePort();

}  // namespace dbsidecar::test_support
