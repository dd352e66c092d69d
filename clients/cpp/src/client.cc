#include "dbsidecar/client.h"

#include <grpc/grpc.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/encoding.h"
#include "clients/cpp/src/failures.h"

namespace dbsidecar {
namespace internal {
namespace {

void Require(bool condition, const char* what) {
  if (!condition) Throw(Invalid(std::string("client options: ") + what));
}

ClientOptions Checked(ClientOptions options) {
  using std::chrono::milliseconds;
  Require(options.timeout > milliseconds(0), "`timeout` must be above 0");
  Require(options.connect_timeout > milliseconds(0), "`connect_timeout` must be above 0");
  Require(options.connections >= 1 && options.connections <= 64,
          "`connections` must be between 1 and 64");
  Require(options.calls_max >= 1 && options.calls_max <= 1'000'000,
          "`calls_max` must be between 1 and 1000000");
  Require(options.in_flight_max >= 1, "`in_flight_max` must be at least 1");
  Require(options.backoff_min > milliseconds(0) && options.backoff_max >= options.backoff_min,
          "`backoff_min` must be above 0 and not above `backoff_max`");
  return options;
}

// With the last user of gRPC in a process, gRPC ends its threads, and may take ten seconds for it
// (1.51 waits in grpc_shutdown for its executor). Once begun, it is kept.
void KeepGrpc() {
  static const bool kKept = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(kKept);
}

}  // namespace

// The connections of a client.
class Pool {
 public:
  Pool(const std::string& target, ClientOptions options) : options_(Checked(std::move(options))) {
    KeepGrpc();
    for (int i = 0; i < options_.connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(target, options_));
    }
  }

  // They take turns.
  Connection& Next() {
    if (connections_.size() == 1) return *connections_.front();
    return *connections_[turn_.fetch_add(1, std::memory_order_relaxed) % connections_.size()];
  }

  bool WaitUntilConnected(Instant deadline) {
    for (const auto& connection : connections_) {
      if (!connection->WaitUntilConnected(deadline)) return false;
    }
    return true;
  }

 private:
  const ClientOptions options_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::atomic<size_t> turn_{0};
};

}  // namespace internal

Client::Client(const std::string& target, ClientOptions options)
    : pool_(std::make_unique<internal::Pool>(target, std::move(options))) {}

Client::~Client() {
  if (internal::OnConnectionThread()) {
    // It would wait for this very thread.
    std::fputs("dbsidecar: a Client must not be destroyed in a callback\n", stderr);
    std::abort();
  }
}

Transaction Client::Begin(const TransactionOptions& options) {
  return Transaction(pool_->Next(), internal::NewTransaction(options));
}

Session Client::Pin(const SessionOptions& options) {
  return Session(pool_->Next(), internal::NewSession(options));
}

bool Client::WaitUntilConnected(std::chrono::milliseconds timeout) {
  return pool_->WaitUntilConnected(internal::Clock::now() + timeout);
}

Outcome Client::Run(const internal::Statement& statement) {
  return pool_->Next().Run(statement, nullptr);
}

std::future<Result> Client::Start(const internal::Statement& statement) {
  return pool_->Next().Start(statement, nullptr);
}

void Client::Start(const internal::Statement& statement, Callback then) {
  pool_->Next().Start(statement, nullptr, std::move(then));
}

namespace {

// Without it the statement would run outside: in autocommit.
const std::shared_ptr<internal::SessionState>& Owned(
    const std::shared_ptr<internal::SessionState>& state) {
  if (state == nullptr) Throw(internal::WrongUse("the transaction or session was moved from"));
  return state;
}

}  // namespace

// --- Transaction. ---

Transaction::Transaction(internal::Connection& connection,
                         std::shared_ptr<internal::SessionState> state)
    : connection_(&connection), state_(std::move(state)) {}

Transaction::Transaction(Transaction&& other) noexcept = default;

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    Abandon();
    connection_ = other.connection_;
    state_ = std::move(other.state_);
  }
  return *this;
}

Transaction::~Transaction() { Abandon(); }

void Transaction::Abandon() noexcept {
  if (state_ == nullptr) return;
  connection_->StartEnd(std::exchange(state_, nullptr), v1::SESSION_END_ROLLBACK, {});
}

Outcome Transaction::Run(const internal::Statement& statement) {
  return connection_->Run(statement, Owned(state_));
}

std::future<Result> Transaction::Start(const internal::Statement& statement) {
  return connection_->Start(statement, Owned(state_));
}

void Transaction::Start(const internal::Statement& statement, Callback then) {
  connection_->Start(statement, Owned(state_), std::move(then));
}

void Transaction::Commit() { connection_->RunEnd(Owned(state_), v1::SESSION_END_COMMIT).result(); }

std::future<Result> Transaction::CommitAsync() {
  std::promise<Result> promise;
  std::future<Result> future = promise.get_future();
  connection_->StartEnd(Owned(state_), v1::SESSION_END_COMMIT,
                        internal::Completion(std::move(promise)));
  return future;
}

void Transaction::Rollback() {
  const Outcome outcome = connection_->RunEnd(Owned(state_), v1::SESSION_END_ROLLBACK);
  if (!outcome.ok() && outcome.failure().reason != "SESSION_NOT_FOUND") Throw(outcome.failure());
}

// --- Session. ---

Session::Session(internal::Connection& connection, std::shared_ptr<internal::SessionState> state)
    : connection_(&connection), state_(std::move(state)) {}

Session::Session(Session&& other) noexcept = default;

Session& Session::operator=(Session&& other) noexcept {
  if (this != &other) {
    Abandon();
    connection_ = other.connection_;
    state_ = std::move(other.state_);
  }
  return *this;
}

Session::~Session() { Abandon(); }

void Session::Abandon() noexcept {
  if (state_ == nullptr) return;
  connection_->StartEnd(std::exchange(state_, nullptr), v1::SESSION_END_ROLLBACK, {});
}

Outcome Session::Run(const internal::Statement& statement) {
  return connection_->Run(statement, Owned(state_));
}

std::future<Result> Session::Start(const internal::Statement& statement) {
  return connection_->Start(statement, Owned(state_));
}

void Session::Start(const internal::Statement& statement, Callback then) {
  connection_->Start(statement, Owned(state_), std::move(then));
}

void Session::Release() { connection_->RunEnd(Owned(state_), v1::SESSION_END_RELEASE).result(); }

}  // namespace dbsidecar
