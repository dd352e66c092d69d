// What the integration tests build on: durations from the environment, and a sidecar on a database
// of its own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/health_client.h"
#include "tests/support/postgres_server.h"
#include "tests/support/query_client.h"
#include "tests/support/sidecar_process.h"

namespace dbsidecar::integration {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)
using test_support::Bytes;
using test_support::ChildProcess;
using test_support::HealthClient;
using test_support::MakeQuery;
using test_support::PendingQuery;
using test_support::PostgresServer;
using test_support::QueryClient;
using test_support::QueryOutcome;
using test_support::SidecarOptions;
using test_support::SidecarProcess;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// How long a long test runs: DBSIDECAR_TEST_SECONDS_<name>, else `otherwise`.
seconds TestSeconds(const std::string& name, int otherwise);
double Milliseconds(Clock::duration duration);

// Whether the sidecar under test is built with a sanitizer (`./dev asan`, `./dev tsan`), which
// makes it slower and keeps freed memory. This program never is: it is not what is tested.
inline const bool kSanitized = std::getenv("DBSIDECAR_TEST_SANITIZED") != nullptr;
inline const bool kThreadSanitized =
    kSanitized && std::string_view(std::getenv("DBSIDECAR_TEST_SANITIZED")) == "tsan";
// What a loaded machine may add to a promised time.
inline const milliseconds kScheduling = kSanitized ? 1000ms : 150ms;

// True once `condition` holds; false if it does not within `timeout`.
template <typename Condition>
bool Eventually(milliseconds timeout, Condition condition) {
  const auto end = Clock::now() + timeout;
  while (!condition()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

// A sidecar on a new database of the shared PostgreSQL server.
struct PostgresSidecar {
  explicit PostgresSidecar(std::vector<std::string> flags = {}, bool unix_socket = false,
                           PostgresServer& on = PostgresServer::Shared());

  std::string Psql(const std::string& sql) { return server.Psql(sql, database); }
  std::string Url() const { return server.Url(database); }

  PostgresServer& server;
  std::string database;
  SidecarProcess sidecar;
  QueryClient client;
  HealthClient health;
};

// The code and SQLSTATE of a failed call as "INVALID_ARGUMENT 42601"; "OK" for success.
std::string CodeAndSqlstate(const QueryOutcome& outcome);

}  // namespace dbsidecar::integration
