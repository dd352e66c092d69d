// A PostgreSQL server of the test's own: a fresh cluster in a temporary folder, reachable over a
// Unix socket in that folder (no password) and over TCP on the loopback interface (user `app`, with
// a password). It ends with the test process.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace dbsidecar::test_support {

enum class StopMode {
  kFast,       // Sessions are told (57P01) and rolled back.
  kImmediate,  // As in a crash.
};

class PostgresServer {
 public:
  static constexpr const char* kPassword = "correct horse";

  // Makes the cluster and starts it. Throws, with what to install, if PostgreSQL is not there.
  PostgresServer();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // The one that the tests of this process share; started on first use.
  static PostgresServer& Shared();

  // Returns once it accepts connections.
  void Start();
  void Stop(StopMode mode);
  // From now on it takes connections and says nothing, neither to new clients nor to old ones.
  void Freeze();
  void Thaw();

  // Over the Unix socket, as the superuser.
  std::string Url(const std::string& database = "postgres") const;
  // Over TCP, as `app`; through `port`, if something stands there before the server.
  std::string TcpUrl(const std::string& database = "postgres",
                     const std::string& password = kPassword, int port = 0) const;
  int port() const { return port_; }

  // A new, empty database; its name is unique in this server.
  std::string CreateDatabase(const std::string& purpose);
  // Runs SQL as the superuser. The first cell of the last result; "" if there is none, or NULL.
  std::string Psql(const std::string& sql, const std::string& database = "postgres") const;
  // Client connections to `database`, and those of them that run something just now.
  int Connections(const std::string& database) const;
  int RunningStatements(const std::string& database, const std::string& sql_part) const;

 private:
  Command PostgresCommand(const std::string& program, std::vector<std::string> arguments) const;
  void InitializeCluster();
  void WaitUntilReady();
  void SignalAll(int signal) const;

  std::string binaries_;
  std::string folder_;
  int port_ = 0;
  uid_t user_ = 0;
  gid_t group_ = 0;
  int databases_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace dbsidecar::test_support
