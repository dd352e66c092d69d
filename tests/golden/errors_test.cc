// What a call that fails is told: the code, the reason and the words.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <regex>
#include <string>

#include "pool/postgres/statement_classifier.h"
#include "server/error_mapping.h"
#include "server/request_parser.h"
#include "tests/contract/running_pool.h"
#include "tests/support/fake_driver.h"
#include "tests/support/golden_file.h"

namespace dbsidecar::golden {
namespace {

using contract::RunningPool;
using contract::TestCall;
using pool::Error;
using pool::ErrorKind;
using server::Code;
using std::chrono::milliseconds;
using test_support::ExpectSameAsFile;
using test_support::FakeDriver;

std::string_view KindName(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kDatabase:
      return "kDatabase";
    case ErrorKind::kNoConnection:
      return "kNoConnection";
    case ErrorKind::kConnectRejected:
      return "kConnectRejected";
    case ErrorKind::kConnectionLost:
      return "kConnectionLost";
    case ErrorKind::kWaitTimeout:
      return "kWaitTimeout";
    case ErrorKind::kQueueFull:
      return "kQueueFull";
    case ErrorKind::kDeadline:
      return "kDeadline";
    case ErrorKind::kCancelled:
      return "kCancelled";
    case ErrorKind::kDraining:
      return "kDraining";
    case ErrorKind::kPaused:
      return "kPaused";
    case ErrorKind::kResultTooLarge:
      return "kResultTooLarge";
    case ErrorKind::kNeedsSession:
      return "kNeedsSession";
    case ErrorKind::kInvalidArgument:
      return "kInvalidArgument";
    case ErrorKind::kPoolNotFound:
      return "kPoolNotFound";
    case ErrorKind::kSeriesNotFound:
      return "kSeriesNotFound";
    case ErrorKind::kHistoryOff:
      return "kHistoryOff";
    case ErrorKind::kStatementNotFound:
      return "kStatementNotFound";
    case ErrorKind::kSessionNotFound:
      return "kSessionNotFound";
    case ErrorKind::kSessionBusy:
      return "kSessionBusy";
    case ErrorKind::kTransactionOpen:
      return "kTransactionOpen";
    case ErrorKind::kTransactionFailed:
      return "kTransactionFailed";
    case ErrorKind::kClientNotFound:
      return "kClientNotFound";
    case ErrorKind::kSubscriberDropped:
      return "kSubscriberDropped";
    case ErrorKind::kUnsupported:
      return "kUnsupported";
  }
  return "";  // The end of the enumeration.
}

// Code and reason as the mapping has them.
std::string Answer(const Error& error) {
  const server::MappedError mapped = server::MapError(error);
  return fmt::format("{:<19} {:<20} {:>5}", CodeName(mapped.code), mapped.reason,
                     mapped.retry ? "retry" : "-");
}

TEST(ErrorsTest, CodeAndReasonOfEveryKind) {
  std::string list;
  for (int number = 0; !KindName(static_cast<ErrorKind>(number)).empty(); ++number) {
    Error error{.kind = static_cast<ErrorKind>(number), .message = "", .sql = {}};
    for (const bool unknown : {false, true}) {
      error.outcome_unknown = unknown;
      list += fmt::format("{:<16} {:<15} {}\n", KindName(error.kind),
                          unknown ? "outcome unknown" : "-", Answer(error));
    }
  }
  ExpectSameAsFile(list, "tests/golden/errors/kinds.txt");
}

// A line for each error, in the order in which they are added.
class Texts {
 public:
  void Add(const Error& error) {
    // How long something took is another figure every time.
    static const std::regex seconds("[0-9][0-9.e+-]* s\\b");
    list_ += fmt::format("{} {}\n", Answer(error),
                         std::regex_replace(server::ToRpcStatus(error).message(), seconds, "# s"));
  }
  void Add(const std::optional<Error>& error) {
    ASSERT_TRUE(error.has_value());
    Add(*error);
  }
  const std::string& list() const { return list_; }

 private:
  std::string list_;
};

TEST(ErrorsTest, TextsAboutRequests) {
  Texts texts;
  const auto refuse = [&texts](const auto& change) {
    v1::QueryRequest request;
    request.set_sql("select 1");
    change(request);
    texts.Add(server::CheckRequest(request, {.parameters_max = 1}));
  };
  refuse([](v1::QueryRequest& request) { request.clear_sql(); });
  refuse([](v1::QueryRequest& request) { request.mutable_session()->set_session(""); });
  refuse([](v1::QueryRequest& request) {
    request.mutable_session()->mutable_pin();
    request.mutable_session()->set_commit(true);
  });
  refuse([](v1::QueryRequest& request) {
    request.mutable_session()->mutable_begin()->mutable_idle_timeout()->set_seconds(-1);
  });
  refuse([](v1::QueryRequest& request) {
    request.mutable_settings()->mutable_lock_timeout()->set_seconds(-1);
  });
  refuse([](v1::QueryRequest& request) {
    request.add_params();
    request.add_params();
  });
  refuse([](v1::QueryRequest& request) { request.set_format(static_cast<v1::ResultFormat>(9)); });
  ExpectSameAsFile(texts.list(), "tests/golden/errors/requests.txt");
}

TEST(ErrorsTest, TextsAboutStatementsOfPostgresql) {
  Texts texts;
  pool::StatementClassifier classifier;
  for (const char* sql :
       {"", "select 1; select 2", "begin", "set search_path to x", "listen x",
        "create temp table t (id int)", "prepare p as select 1", "declare c cursor for select 1",
        "select pg_advisory_lock(1)", "select set_config('a.b', 'c', false)",
        "update pg_settings set setting = 'x'", "lock table t", "copy t from stdin"}) {
    texts.Add(classifier.Classify(sql)->refusal);
  }
  ExpectSameAsFile(texts.list(), "tests/golden/errors/statements_of_postgresql.txt");
}

TEST(ErrorsTest, TextsAboutResults) {
  Texts texts;
  texts.Add(pool::ResultTooLarge({.rows_max = 10, .bytes_max = 1000}, false));
  texts.Add(pool::ResultTooLarge({.rows_max = 0, .bytes_max = 1000}, false));
  texts.Add(pool::ResultTooLarge({.rows_max = 10, .bytes_max = 1000}, true));
  ExpectSameAsFile(texts.list(), "tests/golden/errors/results.txt");
}

// A pool with one connection, over a database that does as it is told. After one failed connect it
// does not try again while a test lasts.
class PoolTexts : public testing::Test {
 protected:
  static pool::PoolOptions Options() {
    pool::PoolOptions options;
    options.name = "orders";
    options.core.min = 0;
    options.core.max = 1;
    options.core.waiters_max = 1;
    options.core.wait_timeout = milliseconds(200);
    options.core.backoff_base = options.core.backoff_cap = std::chrono::hours(1);
    options.answer_grace = milliseconds(200);
    options.cancel_grace = milliseconds(20);
    return options;
  }

  static std::unique_ptr<RunningPool> NewPool(const pool::PoolOptions& options,
                                              FakeDriver::Connect connect) {
    return std::make_unique<RunningPool>(
        [connect](pool::EventLoop& loop) {
          auto driver = std::make_unique<FakeDriver>(loop);
          driver->script.connect = connect;
          return driver;
        },
        options);
  }
  static std::unique_ptr<RunningPool> NewPool(FakeDriver::Connect connect) {
    return NewPool(Options(), connect);
  }

  void Expect(const std::string& name) {
    ExpectSameAsFile(texts_.list(), "tests/golden/errors/" + name + ".txt");
  }

  Texts texts_;
};

TEST_F(PoolTexts, WithoutAConnection) {
  const auto failing = NewPool(FakeDriver::Connect::kFail);
  texts_.Add(failing->Run("select 1").error);
  pool::PoolOptions patient = Options();
  patient.core.wait_timeout = std::chrono::seconds(20);
  patient.core.backoff_base = patient.core.backoff_cap = milliseconds(10);
  const auto rejected = NewPool(patient, FakeDriver::Connect::kReject);
  texts_.Add(rejected->Run("select 1").error);
  pool::PoolOptions options = Options();
  options.core.connect_timeout = milliseconds(10);
  const auto silent = NewPool(options, FakeDriver::Connect::kNever);
  texts_.Add(silent->Run("select 1").error);
  Expect("no_connection");
}

TEST_F(PoolTexts, WhileWaiting) {
  const auto pool = NewPool(FakeDriver::Connect::kSucceed);
  TestCall busy("sleep");
  busy.caller = "reports";
  pool->Start(busy);
  texts_.Add(pool->Run("select 1").error);  // Waits as long as it may.
  TestCall hasty("select 1");
  hasty.deadline = pool::Clock::now() + milliseconds(100);
  pool->Submit(hasty);
  texts_.Add(hasty.Await().error);
  Expect("waiting");
}

TEST_F(PoolTexts, WithAFullQueue) {
  pool::PoolOptions options = Options();
  options.core.wait_timeout = std::chrono::seconds(20);
  const auto pool = NewPool(options, FakeDriver::Connect::kSucceed);
  TestCall busy("sleep");
  pool->Start(busy);
  TestCall waiting("select 1");
  pool->Submit(waiting);
  texts_.Add(pool->Run("select 1").error);
  pool->Cancel(waiting);
  texts_.Add(waiting.Await().error);
  Expect("full_queue");
}

TEST_F(PoolTexts, WhileRunning) {
  const auto pool = NewPool(FakeDriver::Connect::kSucceed);
  for (const char* sql : {"sleep", "deaf"}) {
    TestCall late(sql);
    late.deadline = pool::Clock::now() + milliseconds(100);
    pool->Submit(late);
    texts_.Add(late.Await().error);
    late.AwaitDone();
    TestCall cancelled(sql);
    pool->Start(cancelled);
    pool->Cancel(cancelled);
    texts_.Add(cancelled.Await().error);
    cancelled.AwaitDone();
  }
  Expect("running");
}

TEST_F(PoolTexts, WhileStopping) {
  pool::PoolOptions options = Options();
  options.core.wait_timeout = std::chrono::seconds(20);
  const auto pool = NewPool(options, FakeDriver::Connect::kSucceed);
  TestCall running("sleep");
  pool->Start(running);
  TestCall waiting("select 1");
  pool->Submit(waiting);
  pool->Do([&] { pool->pool().Drain(); });
  texts_.Add(pool->Run("select 1").error);
  pool->Do([&] { pool->pool().CancelAll(); });
  texts_.Add(waiting.Await().error);
  texts_.Add(running.Await().error);
  Expect("stopping");
}

}  // namespace
}  // namespace dbsidecar::golden
