// The server's statement_timeout, which ends statements, and streams and copies, which it leaves to
// their callers.
#include "pool/error.h"
#include "tests/contract/database.h"
#include "tests/contract/running_pool.h"
#include "tests/contract/sessions.h"
#include "tests/contract/test_sink.h"

namespace dbsidecar::contract {
namespace {

using pool::Outcome;
using pool::SessionUse;
using pool::StatementForm;
using std::chrono::milliseconds;

constexpr const char* kSecond = "select pg_sleep(0.05) from generate_series(1, 20)";
constexpr const char* kCopyASecond =
    "copy (select pg_sleep(0.05) from generate_series(1, 20)) to stdout";

class PostgresTimeoutLift : public PostgresTest {
 protected:
  PostgresTimeoutLift() { config_.statement_timeout = milliseconds(300); }

  struct Stream {
    explicit Stream(const std::string& sql, SessionUse use = {}) : call(sql) {
      if (sql.starts_with("copy")) call.statement.form = StatementForm::kCopyOut;
      call.session = use;
      call.sink = &sink;
    }
    const Outcome& Run(RunningPool& pool) {
      pool.Submit(call);
      return call.Await();
    }
    TestSink sink;
    TestCall call;
  };

  static std::string Timeout(RunningPool& pool, const SessionUse& use = {}) {
    return CellText(RunIn(pool, "show statement_timeout", use).result, 0, 0);
  }
};

TEST_F(PostgresTimeoutLift, AStatementEndsAtTheTimeout) {
  const auto pool = NewPool(1);
  EXPECT_EQ(SqlState(RunIn(*pool, kSecond, {})), "57014");
}

TEST_F(PostgresTimeoutLift, StreamsAndCopiesGoOnAndWhatComesBehindThemDoesNot) {
  const auto pool = NewPool(1);
  for (const char* sql : {kSecond, kCopyASecond}) {
    Stream stream(sql);
    EXPECT_FALSE(stream.Run(*pool).error) << sql << ErrorText(stream.call.Await());
    EXPECT_EQ(Timeout(*pool), "300ms");
    EXPECT_EQ(SqlState(RunIn(*pool, kSecond, {})), "57014");
  }
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresTimeoutLift, InATransactionToo) {
  const auto pool = NewPool(1);
  for (const char* sql : {kSecond, kCopyASecond}) {
    Stream begin(sql, Begin());
    EXPECT_FALSE(begin.Run(*pool).error) << sql << ErrorText(begin.call.Await());
    const std::string token = begin.call.Await().session;
    const SessionUse in = In(token);
    EXPECT_EQ(Timeout(*pool, in), "300ms");
    Stream again(sql, in);
    EXPECT_FALSE(again.Run(*pool).error) << sql << ErrorText(again.call.Await());
    EXPECT_EQ(Timeout(*pool, in), "300ms");
    EXPECT_EQ(SqlState(RunIn(*pool, kSecond, in)), "57014");
    RunIn(*pool, "", End(token, SessionUse::End::kRollback));
    EXPECT_EQ(Timeout(*pool), "300ms");
  }
}

TEST_F(PostgresTimeoutLift, APinnedSessionKeepsItsTimeout) {
  const auto pool = NewPool(1);
  Stream pins(kSecond, Pin());
  EXPECT_FALSE(pins.Run(*pool).error) << ErrorText(pins.call.Await());
  const std::string token = pins.call.Await().session;
  const SessionUse in = In(token);
  EXPECT_EQ(Timeout(*pool, in), "300ms");
  Stream stream(kSecond, in);
  EXPECT_FALSE(stream.Run(*pool).error) << ErrorText(stream.call.Await());
  EXPECT_EQ(Timeout(*pool, in), "300ms");
  // Outside a transaction nothing would end what is set for a copy.
  Stream copy(kCopyASecond, in);
  EXPECT_EQ(SqlState(copy.Run(*pool)), "57014");
}

TEST_F(PostgresTimeoutLift, AnybodysOwnLimitHolds) {
  const auto pool = NewPool(1);
  for (const char* sql : {kSecond, kCopyASecond}) {
    for (const int limit : {100, 600}) {
      Stream stream(sql);
      stream.call.statement.settings.statement_timeout = milliseconds(limit);
      const pool::Instant start = pool::Clock::now();
      EXPECT_EQ(SqlState(stream.Run(*pool)), "57014") << sql;
      EXPECT_GE(pool::Clock::now() - start, milliseconds(limit));
      EXPECT_LT(pool::Clock::now() - start, milliseconds(limit + 300));
    }
    const std::string token =
        RunIn(*pool, "set local statement_timeout = '100ms'", Begin()).session;
    const SessionUse in = In(token);
    Stream stream(sql, in);
    EXPECT_EQ(SqlState(stream.Run(*pool)), "57014") << sql;
    RunIn(*pool, "", End(token, SessionUse::End::kRollback));
  }
  EXPECT_EQ(Timeout(*pool), "300ms");
}

TEST_F(PostgresTimeoutLift, TheTimeoutOfTheUrlIsNotOurs) {
  config_.url += (config_.url.find('?') == std::string::npos ? "?" : "&") +
                 std::string("options=-c%20statement_timeout%3D200");
  const auto pool = NewPool(1);
  EXPECT_EQ(Timeout(*pool), "200ms");
  Stream stream(kSecond);
  EXPECT_EQ(SqlState(stream.Run(*pool)), "57014");
}

}  // namespace
}  // namespace dbsidecar::contract
